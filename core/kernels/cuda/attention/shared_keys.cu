// Keys that all examples share as products take them: rounded, rows of one key each.
#include "core/kernels/cuda/attention/dot_forward.h"
#include "core/kernels/cuda/attention/shared_keys.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {
namespace {

constexpr int kPatch = 32;

// Of the keys' tensor.
template <typename E>
__device__ int64_t element(const SharedKeys<E>& s, int h, int a, int j) {
  return (s.heads_second ? static_cast<int64_t>(a) * s.heads + h : static_cast<int64_t>(h) * s.width + a) * s.memory +
         j;
}
// Where the row of an example's key begins, as own keys lie.
template <typename E>
__device__ int64_t own_row(const SharedKeys<E>& s, int b, int h, int j) {
  return ((static_cast<int64_t>(b) * s.memory + j) * s.heads + h) * s.width;
}

// A block transposes a patch of 32 x 32 of one head, by way of shared memory: both sides are walked along their rows.
// With positions, of one example: of neighbours these are neighbours but where a document ends.
template <typename E, bool kPlaces>
__global__ void round_keys_kernel(const Compute<E>* from, SharedKeys<E> s, const int32_t* positions, E* to) {
  auto* const patch = reinterpret_cast<Compute<E>*>(shared_memory());
  const int patches = (s.memory + kPatch - 1) / kPatch;
  const int b = static_cast<int>(blockIdx.x) / patches, h = static_cast<int>(blockIdx.z);
  const int j0 = static_cast<int>(blockIdx.x) % patches * kPatch, a0 = static_cast<int>(blockIdx.y) * kPatch;
  const int column = static_cast<int>(threadIdx.x) % kPatch, first = static_cast<int>(threadIdx.x) / kPatch;
  const int rows = static_cast<int>(blockDim.x) / kPatch;
  int place = j0 + column < s.memory ? j0 + column : -1;
  if (kPlaces && place >= 0) place = positions[static_cast<int64_t>(b) * s.memory + place];
  const bool there = place >= 0 && place < s.memory;
  for (int row = first; row < kPatch; row += rows)
    patch[row * (kPatch + 1) + column] =
        there && a0 + row < s.width ? from[element(s, h, a0 + row, place)] : Compute<E>(0);
  __syncthreads();
  for (int row = first; row < kPatch; row += rows)
    if (j0 + row < s.memory && a0 + column < s.width)
      to[(kPlaces ? own_row(s, b, h, j0 + row) : (static_cast<int64_t>(h) * s.memory + j0 + row) * s.width) + a0 +
         column] = rounded<E>(patch[column * (kPatch + 1) + row]);
}

// A block owns a patch of 32 places and 32 columns of one head, and goes through the documents in order; reads walk
// along rows, and so do writes, by way of shared memory.
template <typename E>
__global__ void sum_of_places_kernel(const E* from, Documents documents, int batch, SharedKeys<E> s, Compute<E>* to) {
  constexpr int kRows = kThreads / kPatch, kOwn = kPatch / kRows;  // of a thread: places apart by kRows
  auto* const patch = reinterpret_cast<Compute<E>*>(shared_memory());
  const int q0 = static_cast<int>(blockIdx.x) * kPatch, a0 = static_cast<int>(blockIdx.y) * kPatch;
  const int h = static_cast<int>(blockIdx.z);
  const int column = static_cast<int>(threadIdx.x) % kPatch, first = static_cast<int>(threadIdx.x) / kPatch;
  Compute<E> sums[kOwn] = {};
  const int end = documents.starts[batch];
  for (int n = next_document(documents.list, -1, end, q0); n < end; n = next_document(documents.list, n, end, q0)) {
    const Document d = documents.list[n];
    if (a0 + column >= s.width) continue;
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      const int j = d.shift + q0 + first + k * kRows;
      if (j >= d.begin && j < d.end) sums[k] += widened(from[own_row(s, d.example, h, j) + a0 + column]);
    }
  }
#pragma unroll
  for (int k = 0; k < kOwn; ++k) patch[(first + k * kRows) * (kPatch + 1) + column] = sums[k];
  __syncthreads();
  for (int row = first; row < kPatch; row += kRows)
    if (a0 + row < s.width && q0 + column < s.memory)
      to[element(s, h, a0 + row, q0 + column)] = patch[column * (kPatch + 1) + row];
}

template <typename E>
Grid grid_of(const char* name, int64_t examples, const SharedKeys<E>& s) {
  const auto patches = [](int64_t n) { return (n + kPatch - 1) / kPatch; };
  constexpr auto kShared = kPatch * (kPatch + 1) * static_cast<int64_t>(sizeof(Compute<E>));
  return {name, examples * patches(s.memory), kThreads, kShared, patches(s.width), s.heads};
}

}  // namespace

template <typename E>
void SharedKeys<E>::round(cudaStream_t stream, const Compute<E>* keys, E* rows) const {
  launch(stream, grid_of("round_keys_kernel", 1, *this), round_keys_kernel<E, false>, keys, *this, nullptr, rows);
}

template <typename E>
void SharedKeys<E>::at_places(cudaStream_t stream, const Compute<E>* keys, const int32_t* positions, int64_t batch,
                              E* rows) const {
  launch(stream, grid_of("round_keys_kernel", batch, *this), round_keys_kernel<E, true>, keys, *this, positions, rows);
}

template <typename E>
void SharedKeys<E>::sum_of_places(cudaStream_t stream, const E* rows, const Documents& documents, int64_t batch,
                                  Compute<E>* keys) const {
  launch(stream, grid_of("sum_of_places_kernel", 1, *this), sum_of_places_kernel<E>, rows, documents,
         static_cast<int>(batch), *this, keys);
}

template struct SharedKeys<float>;
template struct SharedKeys<double>;
template struct SharedKeys<BFloat16>;

DotArguments<BFloat16> with_rounded_keys(cudaStream_t stream, DotArguments<BFloat16> g, BFloat16* copies) {
  for (int p = 0; p < g.pairs; ++p) {
    DotPair& pair = g.pair[p];
    if (!pair.shared) continue;
    SharedKeys<BFloat16>{g.heads, pair.width, g.memory}.round(stream, static_cast<const float*>(pair.keys), copies);
    pair.keys = copies;
    copies += align_up(static_cast<int64_t>(g.heads) * pair.width * g.memory * sizeof(BFloat16)) / sizeof(BFloat16);
  }
  return g;
}

}  // namespace synthesizer::cuda
