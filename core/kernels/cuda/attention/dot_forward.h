// Attention by tensor cores (DotSizes::tensor_cores() says of what), and what it is given beside other ways.
#pragma once

#include "core/kernels/cuda/attention/dot_arguments.h"

namespace synthesizer::cuda {

// `inner`: the pairs' widths together. Shared keys are as with_rounded_keys() makes them.
void dot_attention_by_mma(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner, BFloat16* y, float* log_sum);

// Rounds the keys that all examples share to `copies` (SharedKeys::round()), and gives the arguments with these.
DotArguments<BFloat16> with_rounded_keys(cudaStream_t stream, DotArguments<BFloat16> g, BFloat16* copies);

}  // namespace synthesizer::cuda
