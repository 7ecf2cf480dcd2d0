#include "core/kernels/cuda/attention/shared_sizes.h"
#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {
namespace {

__global__ void round_weights_kernel(const float* from, BFloat16* to, int64_t count) {
  const int64_t packs = count / 4;
  for (int64_t p = thread_of_grid(); p < packs; p += threads_of_grid()) {
    const auto pack = reinterpret_cast<const Pack<float, 4>*>(from)[p];
    Pack<BFloat16, 4> made;
    for (int i = 0; i < 4; ++i) made.at[i] = to_bfloat16(pack.at[i]);
    reinterpret_cast<Pack<BFloat16, 4>*>(to)[p] = made;
  }
  for (int64_t i = packs * 4 + thread_of_grid(); i < count; i += threads_of_grid()) to[i] = to_bfloat16(from[i]);
}

}  // namespace

template <typename T>
const void* rounded_weights(cudaStream_t stream, const SharedSizes& s, const void* weights, void* copy) {
  if constexpr (std::is_same_v<T, Compute<T>>) return weights;
  launch(stream, {"round_weights_kernel", blocks_for(s.weights() / 4)}, round_weights_kernel,
         static_cast<const float*>(weights), static_cast<BFloat16*>(copy), s.weights());
  return copy;
}

template const void* rounded_weights<float>(cudaStream_t, const SharedSizes&, const void*, void*);
template const void* rounded_weights<double>(cudaStream_t, const SharedSizes&, const void*, void*);
template const void* rounded_weights<BFloat16>(cudaStream_t, const SharedSizes&, const void*, void*);

}  // namespace synthesizer::cuda
