// What the kernels of depthwise convolution share: shapes, and the launches that depthwise.cu puts together.
#pragma once

#include "core/kernels/cuda/kernel_case.h"

namespace synthesizer::cuda {

// u as [batch, length, heads, head]; where position l finds its window's weights.
struct Convolution {
  Convolution(const Shape& u, const Shape& weights, int64_t before_size)
      : batch(u.dims()[0].size),
        length(u.dims()[1].size),
        heads(u.dims()[2].size),
        head(u.dims()[3].size),
        window(weights.dims().back().size),
        before(before_size),
        own(weights.rank() == 4) {}
  int64_t width() const { return heads * head; }

  int64_t batch, length, heads, head, window, before;
  bool own;  // each position has weights of its own
};

// Bytes of workspace that depthwise_weights() needs.
int64_t depthwise_weights_workspace(const Convolution& c);
// The gradient of the weights, [heads, window] or each position's.
template <typename T>
void depthwise_weights(cudaStream_t stream, const Convolution& c, const T* u, const T* dy, T* dweights,
                       void* workspace);

}  // namespace synthesizer::cuda
