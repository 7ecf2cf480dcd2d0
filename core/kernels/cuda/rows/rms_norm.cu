// Root-mean-square normalisation, row by row, with the sum of a residual. Squares are added in double: those of a run
// that diverges may be more than float32 holds, and its NaN is to be found where it comes from.
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/rows/rms_norm_rows.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/rms_norm.h"

namespace synthesizer::cuda {
namespace {

template <typename T>
struct NormRows {
  const T *x, *added;  // `added` may be null
  T* sum;              // null then too
  const Compute<T>* scale;
  T* y;
  Compute<T>* r;
  int64_t rows, length;
  double epsilon;
};

// The second pass reads the row again, from the cache that the first has left it in.
template <typename Team, int kPacked, typename T>
__global__ void rms_norm_kernel(NormRows<T> of) {
  using C = Compute<T>;
  const Team team;
  for (int64_t row = team.first_row(); row < of.rows; row += team.rows_apart()) {
    const int64_t begin = row * of.length;
    double squares = 0;
    for (int64_t i = team.rank() * kPacked; i < of.length; i += team.size() * kPacked) {
      auto v = load_pack<kPacked>(of.x + begin + i);
      if (of.added != nullptr) {
        const auto other = load_pack<kPacked>(of.added + begin + i);
        for (int e = 0; e < kPacked; ++e) v.at[e] = rounded<T>(widened(v.at[e]) + widened(other.at[e]));
        store_pack(v, of.sum + begin + i);
      }
      for (int e = 0; e < kPacked; ++e) {
        const auto wide = static_cast<double>(widened(v.at[e]));
        squares = fma(wide, wide, squares);
      }
    }
    const C r = static_cast<C>(1 / ::sqrt(team.sum(squares) / static_cast<double>(of.length) + of.epsilon));
    if (team.rank() == 0) of.r[row] = r;
    const T* from = of.added != nullptr ? of.sum : of.x;
    for (int64_t i = team.rank() * kPacked; i < of.length; i += team.size() * kPacked) {
      const auto v = load_pack<kPacked>(from + begin + i);
      const auto scale = load_pack<kPacked>(of.scale + i);
      Pack<T, kPacked> made;
      for (int e = 0; e < kPacked; ++e) made.at[e] = rounded<T>(widened(v.at[e]) * r * scale.at[e]);
      store_pack(made, of.y + begin + i);
    }
    team.next_row();
  }
}

template <typename T>
class RmsNormKernel : public Kernel {
 public:
  explicit RmsNormKernel(const KernelCase& c)
      : stream_(c.context.stream),
        length_(c.in(1).elements()),
        rows_(c.in(0).elements() / length_),
        epsilon_(c.as<RmsNorm>().epsilon()),
        residual_(c.as<RmsNorm>().residual()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const NormRows<T> of{input<T>(inputs, 0),
                         residual_ ? input<T>(inputs, 2) : nullptr,
                         residual_ ? output<T>(outputs, 2) : nullptr,
                         input<Compute<T>>(inputs, 1),
                         output<T>(outputs, 0),
                         output<Compute<T>>(outputs, 1),
                         rows_,
                         length_,
                         epsilon_};
    by_row_length<T>(length_, [&]<typename Team, int kPacked>() {
      launch(stream_, {"rms_norm_kernel", Team::blocks(rows_), Team::kBlock, Team::kSharedBytes},
             rms_norm_kernel<Team, kPacked, T>, of);
    });
  }

 private:
  cudaStream_t stream_;
  int64_t length_, rows_;
  double epsilon_;
  bool residual_;
};

}  // namespace

std::span<const KernelEntry> rms_norm_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(RmsNorm), make_by_output<RmsNormKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer::cuda
