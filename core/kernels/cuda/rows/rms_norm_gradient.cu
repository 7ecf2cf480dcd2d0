// The gradient of root-mean-square normalisation. A team has a group of rows and keeps, column by column, what they
// give to the gradient of the scale; groups are combined at last.
#include "core/kernels/cuda/device/combine.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/rows/rms_norm_rows.h"
#include "core/ops/rms_norm.h"

namespace synthesizer::cuda {
namespace {

template <typename T>
struct GradientRows {
  const T* x;
  const Compute<T>*scale, *r;
  const T *dy, *base;  // `base` may be null
  T* dx;
  Compute<T>* sums;  // [group, length]
  int64_t rows, length, groups;
  bool in_shared;  // where a group's sums are kept until they are whole
};

// What is stored of it, which does not become one operation with what takes it.
template <typename T>
__device__ inline Compute<T> as_stored(Compute<T> x, Compute<T> factor) {
  if constexpr (sizeof(Compute<T>) == 8)
    return __dmul_rn(x, factor);
  else
    return widened(rounded<T>(__fmul_rn(x, factor)));
}

template <typename Team, int kPacked, typename T>
__global__ void rms_norm_gradient_kernel(GradientRows<T> of) {
  using C = Compute<T>;
  const Team team;
  C* const kept = reinterpret_cast<C*>(shared_memory() + Team::kSharedBytes) + team.team() * of.length;
  for (int64_t group = team.first_row(); group < of.groups; group += team.rows_apart()) {
    C* const own = of.sums + group * of.length;
    C* const sums = of.in_shared ? kept : own;
    for (int64_t i = team.rank() * kPacked; i < of.length; i += team.size() * kPacked)
      for (int e = 0; e < kPacked; ++e) sums[i + e] = 0;
    const int64_t end = of.rows * (group + 1) / of.groups;
    for (int64_t row = of.rows * group / of.groups; row < end; ++row) {
      const int64_t begin = row * of.length;
      const C r = of.r[row];
      double product = 0;
      for (int64_t i = team.rank() * kPacked; i < of.length; i += team.size() * kPacked) {
        const auto x = load_pack<kPacked>(of.x + begin + i), dy = load_pack<kPacked>(of.dy + begin + i);
        const auto scale = load_pack<kPacked>(of.scale + i);
        C part = 0;
        for (int e = 0; e < kPacked; ++e) {
          const C both = widened(x.at[e]) * widened(dy.at[e]);
          part += both * scale.at[e];
          sums[i + e] += both * r;
        }
        product += static_cast<double>(part);
      }
      const C shift = r * r * static_cast<C>(team.sum(product) / static_cast<double>(of.length));
      for (int64_t i = team.rank() * kPacked; i < of.length; i += team.size() * kPacked) {
        const auto x = load_pack<kPacked>(of.x + begin + i), dy = load_pack<kPacked>(of.dy + begin + i);
        const auto scale = load_pack<kPacked>(of.scale + i);
        Pack<T, kPacked> made;
        for (int e = 0; e < kPacked; ++e) {
          const C inner = widened(dy.at[e]) * scale.at[e] - widened(x.at[e]) * shift;
          made.at[e] = rounded<T>(as_stored<T>(inner, r));
        }
        if (of.base != nullptr) {
          const auto base = load_pack<kPacked>(of.base + begin + i);
          for (int e = 0; e < kPacked; ++e) made.at[e] = rounded<T>(widened(base.at[e]) + widened(made.at[e]));
        }
        store_pack(made, of.dx + begin + i);
      }
      team.next_row();
    }
    if (!of.in_shared) continue;
    for (int64_t i = team.rank() * kPacked; i < of.length; i += team.size() * kPacked)
      for (int e = 0; e < kPacked; ++e) own[i + e] = kept[i + e];
  }
}

constexpr int64_t kFewestRows = 8;         // of a group, so that its sums are little beside the rows
constexpr int64_t kMostGroups = 132 * 16;  // enough to keep the largest device busy
constexpr int64_t kMostShared = 48 << 10;

int64_t groups_of(int64_t rows) { return std::clamp<int64_t>(rows / kFewestRows, 1, kMostGroups); }

int64_t gradient_workspace(const KernelCase& c) {
  const int64_t length = c.in(1).elements();
  return groups_of(c.in(0).elements() / length) * c.in(1).elements() * size_of(c.outputs[1].dtype);
}

template <typename T>
class RmsNormGradientKernel : public Kernel {
 public:
  explicit RmsNormGradientKernel(const KernelCase& c)
      : stream_(c.context.stream),
        length_(c.in(1).elements()),
        rows_(c.in(0).elements() / length_),
        groups_(groups_of(rows_)),
        base_(c.as<RmsNormGradient>().has_base()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    using C = Compute<T>;
    GradientRows<T> of{input<T>(inputs, 0),
                       input<C>(inputs, 1),
                       input<C>(inputs, 2),
                       input<T>(inputs, 3),
                       base_ ? input<T>(inputs, 4) : nullptr,
                       output<T>(outputs, 0),
                       static_cast<C*>(workspace),
                       rows_,
                       length_,
                       groups_,
                       false};
    by_row_length<T>(length_, [&]<typename Team, int kPacked>() {
      const int64_t kept = Team::kTeams * length_ * static_cast<int64_t>(sizeof(C));
      of.in_shared = Team::kSharedBytes + kept <= kMostShared;
      launch(stream_,
             {"rms_norm_gradient_kernel", Team::blocks(groups_), Team::kBlock,
              Team::kSharedBytes + (of.in_shared ? kept : 0)},
             rms_norm_gradient_kernel<Team, kPacked, T>, of);
    });
    combine<AddUp>(stream_, static_cast<const C*>(workspace), output<C>(outputs, 1), groups_, length_);
  }

 private:
  cudaStream_t stream_;
  int64_t length_, rows_, groups_;
  bool base_;
};

}  // namespace

std::span<const KernelEntry> rms_norm_gradient_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(RmsNormGradient), make_by_output<RmsNormGradientKernel>, gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer::cuda
