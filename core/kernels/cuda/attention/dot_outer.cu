#include "core/kernels/cuda/attention/dot_outer.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {
namespace {

constexpr int kRowThreads = 4 * kWarp;

// A warp takes a row: its factors are in the nearest cache, and it writes neighbours.
template <typename E>
__global__ void outer_scores_kernel(const E* first, const E* second, const OuterSizes s, bool add, Compute<E>* scores) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int64_t row = thread_of_grid() / kWarp; row < s.rows; row += threads_of_grid() / kWarp) {
    Compute<E>* const to = scores + row * s.memory;
    for (int j = lane; j < s.memory; j += kWarp) {
      const Compute<E> value = widened(first[row * s.a + j / s.b]) * widened(second[row * s.b + j % s.b]);
      to[j] = add ? to[j] + value : value;
    }
  }
}

// A block takes a row, and a thread an element of either factor; both are read before any is written.
template <typename E>
__global__ void outer_gradients_kernel(const E* first, const E* second, const E* dscores, const OuterSizes s, E* dfirst,
                                       E* dsecond) {
  using T = Compute<E>;
  auto* const x = reinterpret_cast<T*>(shared_memory());
  T* const y = x + s.a;
  const int64_t row = blockIdx.x;
  const E* const ds = dscores + row * s.memory;
  const int n = s.a + s.b, thread = static_cast<int>(threadIdx.x);
  for (int e = thread; e < n; e += kRowThreads)
    x[e] = widened(e < s.a ? first[row * s.a + e] : second[row * s.b + e - s.a]);
  __syncthreads();
  for (int e = thread; e < n; e += kRowThreads) {
    T sum = 0;
    if (e < s.a) {
      for (int m = 0, j = e * s.b; m < s.b && j < s.memory; ++m, ++j) sum += widened(ds[j]) * y[m];
      dfirst[row * s.a + e] = rounded<E>(sum);
    } else {
      for (int k = 0, j = e - s.a; j < s.memory; ++k, j += s.b) sum += widened(ds[j]) * x[k];
      dsecond[row * s.b + e - s.a] = rounded<E>(sum);
    }
  }
}

}  // namespace

template <typename E>
void make_outer_scores(cudaStream_t stream, const OuterSizes& s, const E* first, const E* second, bool add,
                       Compute<E>* scores) {
  launch(stream, {"outer_scores_kernel", blocks_for(s.rows * kWarp)}, outer_scores_kernel<E>, first, second, s, add,
         scores);
}

template <typename E>
void make_outer_gradients(cudaStream_t stream, const OuterSizes& s, const E* first, const E* second, const E* dscores,
                          E* dfirst, E* dsecond) {
  const int64_t bytes = static_cast<int64_t>(s.a + s.b) * static_cast<int64_t>(sizeof(Compute<E>));
  launch(stream, {"outer_gradients_kernel", s.rows, kRowThreads, bytes}, outer_gradients_kernel<E>, first, second,
         dscores, s, dfirst, dsecond);
}

#define SYNTHESIZER_OUTER(E)                                                                                  \
  template void make_outer_scores<E>(cudaStream_t, const OuterSizes&, const E*, const E*, bool, Compute<E>*); \
  template void make_outer_gradients<E>(cudaStream_t, const OuterSizes&, const E*, const E*, const E*, E*, E*);
SYNTHESIZER_OUTER(float)
SYNTHESIZER_OUTER(double)
SYNTHESIZER_OUTER(BFloat16)
#undef SYNTHESIZER_OUTER

}  // namespace synthesizer::cuda
