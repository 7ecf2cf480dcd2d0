// dx = y (dy − Σ dy y), row by row.
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/rows/softmax_rows.h"
#include "core/ops/softmax.h"

namespace synthesizer::cuda {
namespace {

template <int kHeld, int kPacked, typename T>
__global__ void softmax_gradient_warp_kernel(const T* y, const T* dy, T* dx, SoftmaxRows rows, int lanes) {
  using C = Compute<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, side_by_side = kWarp / lanes;
  const HeldRow<kHeld, kPacked> held{lanes, lane % lanes};
  const int64_t items = (rows.count + side_by_side - 1) / side_by_side;
  for (int64_t item = thread_of_grid() / kWarp; item < items; item += threads_of_grid() / kWarp) {
    const int64_t number = item * side_by_side + lane / lanes;
    const bool is_row = number < rows.count;
    int64_t at[4];
    rows.walk.offsets(is_row ? number : 0, at);
    const int64_t seen = is_row ? rows.seen(number) : 0;
    Pack<T, kPacked> weights[held.kPacks], gradients[held.kPacks];
    C sum = 0;
    for (int pack = 0; pack < held.kPacks; ++pack) {
      const int64_t j = held.first_of(pack);
      if (j >= seen) continue;
      weights[pack] = *reinterpret_cast<const Pack<T, kPacked>*>(y + at[0] + j);
      gradients[pack] = *reinterpret_cast<const Pack<T, kPacked>*>(dy + at[1] + j);
      for (int e = 0; e < kPacked; ++e)
        if (j + e < seen) sum += widened(weights[pack].at[e]) * widened(gradients[pack].at[e]);
    }
    const C mean = row_reduce<Sum>(sum, lanes);
    for (int pack = 0; pack < held.kPacks; ++pack) {
      const int64_t j = held.first_of(pack);
      if (j >= rows.length || !is_row) continue;
      Pack<T, kPacked> made;
      for (int e = 0; e < kPacked; ++e)
        made.at[e] =
            rounded<T>(j + e < seen ? widened(weights[pack].at[e]) * (widened(gradients[pack].at[e]) - mean) : C(0));
      *reinterpret_cast<Pack<T, kPacked>*>(dx + at[1] + j) = made;
    }
  }
}

template <typename Team, typename T>
__global__ void softmax_gradient_passes_kernel(const T* y, const T* dy, T* dx, SoftmaxRows rows) {
  using C = Compute<T>;
  const int64_t stride = rows.stride[0], d_stride = rows.stride[1];
  for (int64_t number = Team::first_row(); number < rows.count; number += Team::rows_apart()) {
    int64_t at[4];
    rows.walk.offsets(number, at);
    const T *weights = y + at[0], *gradients = dy + at[1];
    const int64_t seen = rows.seen(number);
    C sum = 0;
    for (int64_t j = Team::rank(); j < seen; j += Team::size())
      sum += widened(weights[j * stride]) * widened(gradients[j * d_stride]);
    const C mean = Team::sum(sum);
    Team::largest(mean);  // a barrier between the sums of two rows
    for (int64_t j = Team::rank(); j < rows.length; j += Team::size())
      dx[at[1] + j * d_stride] =
          rounded<T>(j < seen ? widened(weights[j * stride]) * (widened(gradients[j * d_stride]) - mean) : C(0));
  }
}

template <typename T>
class SoftmaxGradientKernel : public Kernel {
 public:
  explicit SoftmaxGradientKernel(const KernelCase& c) : stream_(c.context.stream) {
    const Shape* shapes[2] = {&c.in(0), &c.in(1)};
    rows_ = SoftmaxRows(c.as<SoftmaxGradient>().options(), shapes);
    CHECK(c.in(1) == c.out(0), "[softmax_gradient] {} to {}", c.in(1).to_string(), c.out(0).to_string());
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T *y = input<T>(inputs, 0), *dy = input<T>(inputs, 1);
    T* dx = output<T>(outputs, 0);
    if ((rows_.stride[0] != 1 || rows_.stride[1] != 1) && rows_.length > 1)
      return launch(stream_, {"softmax_gradient_passes_kernel", blocks_for(rows_.count)},
                    softmax_gradient_passes_kernel<ThreadTeam, T>, y, dy, dx, rows_);
    if (rows_.length > kMostInRegisters * kWarp)
      return launch(stream_,
                    {"softmax_gradient_passes_kernel", blocks_for(rows_.count, 1), kThreads, BlockTeam::kSharedBytes},
                    softmax_gradient_passes_kernel<BlockTeam, T>, y, dy, dx, rows_);
    by_length<T>(rows_.length, rows_.length % kPack<T> == 0, [&]<int kHeld, int kPacked>(int lanes) {
      launch(stream_, {"softmax_gradient_warp_kernel", blocks_of_rows(rows_.count, lanes)},
             softmax_gradient_warp_kernel<kHeld, kPacked, T>, y, dy, dx, rows_, lanes);
    });
  }

 private:
  cudaStream_t stream_;
  SoftmaxRows rows_;
};

}  // namespace

std::span<const KernelEntry> softmax_gradient_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(SoftmaxGradient), make_by_output<SoftmaxGradientKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer::cuda
