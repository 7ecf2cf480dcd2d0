// Shared keys as tensor cores take them.
#include "core/kernels/cuda/attention/dot_forward.h"
#include "core/kernels/cuda/launch.h"

namespace synthesizer::cuda {
namespace {

constexpr int kPatch = 32;

// A block transposes a patch of 32 x 32 of one head, by way of shared memory: both sides are walked along their rows.
__global__ void round_shared_keys_kernel(const float* from, int width, int memory, BFloat16* to) {
  float* const patch = reinterpret_cast<float*>(shared_memory());
  const int64_t head = static_cast<int64_t>(blockIdx.z) * width * memory;
  const int j0 = static_cast<int>(blockIdx.x) * kPatch, a0 = static_cast<int>(blockIdx.y) * kPatch;
  const int column = static_cast<int>(threadIdx.x) % kPatch, first = static_cast<int>(threadIdx.x) / kPatch;
  const int rows = static_cast<int>(blockDim.x) / kPatch;
  for (int row = first; row < kPatch; row += rows)
    if (a0 + row < width && j0 + column < memory)
      patch[row * (kPatch + 1) + column] = from[head + static_cast<int64_t>(a0 + row) * memory + j0 + column];
  __syncthreads();
  for (int row = first; row < kPatch; row += rows)
    if (j0 + row < memory && a0 + column < width)
      to[head + static_cast<int64_t>(j0 + row) * width + a0 + column] = to_bfloat16(patch[column * (kPatch + 1) + row]);
}

}  // namespace

void round_shared_keys(cudaStream_t stream, const float* from, int64_t heads, int64_t width, int64_t memory,
                       BFloat16* to) {
  const auto patches = [](int64_t n) { return (n + kPatch - 1) / kPatch; };
  launch(stream,
         {"round_shared_keys_kernel", patches(memory), kThreads,
          kPatch * (kPatch + 1) * static_cast<int64_t>(sizeof(float)), patches(width), heads},
         round_shared_keys_kernel, from, static_cast<int>(width), static_cast<int>(memory), to);
}

DotArguments<BFloat16> with_rounded_keys(cudaStream_t stream, DotArguments<BFloat16> g, BFloat16* copies) {
  for (int p = 0; p < g.pairs; ++p) {
    DotPair& pair = g.pair[p];
    if (!pair.shared) continue;
    round_shared_keys(stream, static_cast<const float*>(pair.keys), g.heads, pair.width, g.memory, copies);
    pair.keys = copies;
    copies += align_up(static_cast<int64_t>(g.heads) * pair.width * g.memory * sizeof(BFloat16)) / sizeof(BFloat16);
  }
  return g;
}

}  // namespace synthesizer::cuda
