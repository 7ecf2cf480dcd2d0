// Softmax over one dim, with a shared addend, a key mask, segments and causality.
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/rows/softmax_rows.h"
#include "core/ops/softmax.h"

namespace synthesizer::cuda {
namespace {

// What the kernels read; addend, mask and segments may be null.
template <typename T>
struct Logits {
  const T* x;
  const Compute<T>* addend;
  const int32_t *mask, *segments;
};

// One row of them.
template <typename T>
struct LogitRow {
  using C = Compute<T>;
  const T* x;
  const C* addend;
  const int32_t* mask;
  int32_t segment = 0;
  bool of_segment;
  int64_t seen, stride, addend_stride;

  __device__ LogitRow(const Logits<T>& of, const SoftmaxRows& rows, int64_t row, const int64_t (&at)[4])
      : x(of.x + at[0]),
        addend(of.addend == nullptr ? nullptr : of.addend + at[1]),
        mask(of.mask == nullptr ? nullptr : of.mask + at[2]),
        of_segment(of.segments != nullptr),
        seen(rows.seen(row)),
        stride(rows.stride[0]),
        addend_stride(rows.stride[1]) {
    if (of_segment) segment = of.segments[at[3]];
  }

  // Key j may be seen. What is masked is never calculated with: it may hold anything.
  __device__ bool live(int64_t j) const {
    if (j >= seen) return false;
    if (mask == nullptr) return true;
    return mask[j] != 0 && (!of_segment || mask[j] == segment);
  }
  __device__ C with_addend(T value, int64_t j) const {
    return addend == nullptr ? widened(value) : widened(value) + addend[j * addend_stride];
  }
  __device__ C logit(int64_t j) const { return with_addend(x[j * stride], j); }
};

template <int kHeld, int kPacked, typename T>
__global__ void softmax_warp_kernel(Logits<T> of, T* y, SoftmaxRows rows, int lanes) {
  using C = Compute<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, side_by_side = kWarp / lanes;
  const HeldRow<kHeld, kPacked> held{lanes, lane % lanes};
  const int64_t items = (rows.count + side_by_side - 1) / side_by_side;
  for (int64_t item = thread_of_grid() / kWarp; item < items; item += threads_of_grid() / kWarp) {
    const int64_t number = item * side_by_side + lane / lanes;
    const bool is_row = number < rows.count;
    int64_t at[4];
    rows.walk.offsets(is_row ? number : 0, at);
    LogitRow<T> row(of, rows, is_row ? number : 0, at);
    if (!is_row) row.seen = 0;
    C v[kHeld];
    uint32_t live = 0;  // a bit an element
    C most = minus_infinity<C>();
    for (int pack = 0; pack < held.kPacks; ++pack) {
      const int64_t j = held.first_of(pack);
      if (j >= row.seen) continue;
      const auto read = *reinterpret_cast<const Pack<T, kPacked>*>(row.x + j);
      for (int e = 0; e < kPacked; ++e) {
        if (!row.live(j + e)) continue;
        v[pack * kPacked + e] = row.with_addend(read.at[e], j + e);
        most = Largest::of(most, v[pack * kPacked + e]);
        live |= 1u << (pack * kPacked + e);
      }
    }
    most = row_reduce<Largest>(most, lanes);
    C sum = 0;
    for (int i = 0; i < kHeld; ++i) {
      v[i] = live >> i & 1u ? Math::exp(v[i] - most) : C(0);
      sum += v[i];
    }
    const C scale = C(1) / row_reduce<Sum>(sum, lanes);
    for (int pack = 0; pack < held.kPacks; ++pack) {
      const int64_t j = held.first_of(pack);
      if (j >= rows.length || !is_row) continue;
      Pack<T, kPacked> made;
      for (int e = 0; e < kPacked; ++e) {
        const int i = pack * kPacked + e;
        made.at[e] = rounded<T>(live >> i & 1u ? v[i] * scale : C(0));
      }
      *reinterpret_cast<Pack<T, kPacked>*>(y + at[0] + j) = made;
    }
  }
}

template <typename Team, typename T>
__global__ void softmax_passes_kernel(Logits<T> of, T* y, SoftmaxRows rows) {
  using C = Compute<T>;
  for (int64_t number = Team::first_row(); number < rows.count; number += Team::rows_apart()) {
    int64_t at[4];
    rows.walk.offsets(number, at);
    const LogitRow<T> row(of, rows, number, at);
    C most = minus_infinity<C>(), sum = 0;
    for (int64_t j = Team::rank(); j < row.seen; j += Team::size())
      if (row.live(j)) most = Largest::of(most, row.logit(j));
    most = Team::largest(most);
    for (int64_t j = Team::rank(); j < row.seen; j += Team::size())
      if (row.live(j)) sum += Math::exp(row.logit(j) - most);
    const C scale = C(1) / Team::sum(sum);
    for (int64_t j = Team::rank(); j < rows.length; j += Team::size())
      y[at[0] + j * row.stride] = rounded<T>(row.live(j) ? Math::exp(row.logit(j) - most) * scale : C(0));
  }
}

template <typename T>
class SoftmaxKernel : public Kernel {
 public:
  explicit SoftmaxKernel(const KernelCase& c) : context_(c.context), options_(c.as<Softmax>().options()) {
    const Shape none;
    const Shape& addend = options_.addend ? c.in(1) : none;
    const Shape& mask = options_.key_mask ? c.in(options_.addend ? 2 : 1) : none;
    const Shape& segments = options_.segments ? c.in(c.inputs.size() - 1) : none;
    const Shape* shapes[4] = {&c.in(0), &addend, &mask, &segments};
    rows_ = SoftmaxRows(options_, shapes);
    CHECK(!options_.key_mask || rows_.stride[2] == 1, "[softmax] key mask {}: expected {} last", mask.to_string(),
          options_.over);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const Logits<T> of{input<T>(inputs, 0), options_.addend ? input<Compute<T>>(inputs, 1) : nullptr,
                       options_.key_mask ? input<int32_t>(inputs, options_.addend ? 2 : 1) : nullptr,
                       options_.segments ? input<int32_t>(inputs, inputs.size() - 1) : nullptr};
    T* y = output<T>(outputs, 0);
    context_.count(&KernelCounters::softmax_runs, 1);
    context_.count(&KernelCounters::softmax_rows, rows_.count);
    if (rows_.stride[0] != 1 && rows_.length > 1)
      return launch(context_.stream, {"softmax_passes_kernel", blocks_for(rows_.count)},
                    softmax_passes_kernel<ThreadTeam, T>, of, y, rows_);
    if (rows_.length > kMostInRegisters * kWarp)
      return launch(context_.stream,
                    {"softmax_passes_kernel", blocks_for(rows_.count, 1), kThreads, BlockTeam::kSharedBytes},
                    softmax_passes_kernel<BlockTeam, T>, of, y, rows_);
    by_length<T>(rows_.length, rows_.length % kPack<T> == 0, [&]<int kHeld, int kPacked>(int lanes) {
      launch(context_.stream, {"softmax_warp_kernel", blocks_of_rows(rows_.count, lanes)},
             softmax_warp_kernel<kHeld, kPacked, T>, of, y, rows_, lanes);
    });
  }

 private:
  CudaContext context_;
  SoftmaxOptions options_;
  SoftmaxRows rows_;
};

}  // namespace

std::span<const KernelEntry> softmax_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Softmax), make_by_output<SoftmaxKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer::cuda
