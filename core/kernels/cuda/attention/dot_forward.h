// Attention by tensor cores (DotSizes::tensor_cores() says of what), and what it is given beside other ways.
#pragma once

#include "core/kernels/cuda/attention/dot_arguments.h"

namespace synthesizer::cuda {

// `inner`: the pairs' widths together. Shared keys are as round_shared_keys() makes them.
void dot_attention_by_mma(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner, BFloat16* y, float* log_sum);

// The keys that all examples share, from [heads, width, memory] to bfloat16 [heads, memory, width], as own keys lie.
void round_shared_keys(cudaStream_t stream, const float* from, int64_t heads, int64_t width, int64_t memory,
                       BFloat16* to);

// Does so for all pairs, into `copies`, and gives the arguments with these keys.
DotArguments<BFloat16> with_rounded_keys(cudaStream_t stream, DotArguments<BFloat16> g, BFloat16* copies);

}  // namespace synthesizer::cuda
