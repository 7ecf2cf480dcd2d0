// What the kernels of core/ops/dot_attention.h are given: where its tensors are, their sizes, and which query sees
// which key.
#pragma once

#include <span>

#include "core/kernels/cuda/attention/dot_sizes.h"
#include "core/kernels/cuda/device/device_code.h"

namespace synthesizer::cuda {

// Queries [batch, length, heads, width]; keys [batch, memory, heads, width] or, shared, [heads, width, memory].
struct DotPair {
  const void* queries;
  const void* keys;
  int width;
  bool shared;
};

// E is the type of what is multiplied, Compute<E> that of scores, sums and of what all examples share.
template <typename E>
struct DotArguments {
  using T = Compute<E>;

  __device__ int64_t query(int b, int i, int h) const { return (static_cast<int64_t>(b) * length + i) * heads + h; }
  __device__ int64_t key(int b, int j, int h) const { return (static_cast<int64_t>(b) * memory + j) * heads + h; }
  __device__ int64_t row(int b, int h, int i) const { return (static_cast<int64_t>(b) * heads + h) * length + i; }
  // By how much query i's document is moved, so that a key j is at place j - shift of it, and the query at i - shift.
  // -1: its position is of no document, and nothing is read by places.
  __device__ int shift(int b, int i) const {
    if (positions == nullptr) return 0;
    const int32_t place = positions[static_cast<int64_t>(b) * length + i];
    return place < 0 || place > i ? -1 : i - place;
  }
  // Query i's rows of terms, which are there for keys j in [shift, memory). `shift` is not below 0.
  __device__ const T* addend_row(int h, int i, int shift) const {
    return addend + (addend_by_key ? h : static_cast<int64_t>(h) * length + i - shift) * memory - shift;
  }
  __device__ const T* apart_row(int b, int h, int i, int shift) const {
    return apart + query(b, i, h) * memory - shift;
  }

  DotPair pair[kMostPairs];  // of DotSizes::tiled
  int pairs;
  int batch, heads, length, memory, head;
  bool causal, addend_by_key;
  const E* values;
  const T* addend;  // the rest may be null, but for the gradient's in the gradient
  const T* apart;   // scores made apart, [batch, length, heads, memory], by the keys' places
  const int32_t *key_mask, *segments, *positions;
  const T* log_sum;  // the gradient's: [batch, heads, length]
  const E* dy;
  T* mean;  // of dP by weight, [batch, heads, length]: workspace
};

// Without what only the gradient has.
template <typename E>
DotArguments<E> dot_arguments(const DotSizes& s, std::span<void* const> inputs) {
  const DotAttentionOptions& o = s.options;
  DotArguments<E> g = {};
  for (const size_t p : s.tiled)
    g.pair[g.pairs++] = {inputs[2 * p], inputs[2 * p + 1], static_cast<int>(s.widths[p]), o.shares_keys(p)};
  g.batch = static_cast<int>(s.batch);
  g.heads = static_cast<int>(s.heads);
  g.length = static_cast<int>(s.length);
  g.memory = static_cast<int>(s.memory);
  g.head = static_cast<int>(s.head);
  g.causal = o.causal;
  g.addend_by_key = s.addend_by_key;
  g.values = input<E>(inputs, o.values());
  if (o.addend) g.addend = input<Compute<E>>(inputs, o.values() + 1);
  if (o.key_mask) g.key_mask = input<int32_t>(inputs, o.mask());
  if (o.segments) g.segments = input<int32_t>(inputs, o.mask() + 1);
  if (o.positions) g.positions = input<int32_t>(inputs, o.mask() + 2);
  return g;
}

// Of examples [first, first + count) alone. What is of a chunk stays.
template <typename E>
DotArguments<E> of_examples(DotArguments<E> g, int64_t first, int64_t count) {
  const auto move = [&](auto*& at, int64_t each) {
    if (at != nullptr) at += first * each;
  };
  for (int p = 0; p < g.pairs; ++p) {
    DotPair& pair = g.pair[p];
    const int64_t row = static_cast<int64_t>(g.heads) * pair.width;
    pair.queries = static_cast<const E*>(pair.queries) + first * g.length * row;
    if (!pair.shared) pair.keys = static_cast<const E*>(pair.keys) + first * g.memory * row;
  }
  const int64_t rows = static_cast<int64_t>(g.heads) * g.length;
  move(g.values, static_cast<int64_t>(g.heads) * g.memory * g.head);
  move(g.key_mask, g.memory);
  move(g.segments, g.length);
  move(g.positions, g.length);
  move(g.log_sum, rows);
  move(g.dy, rows * g.head);
  move(g.mean, rows);
  g.batch = static_cast<int>(count);
  return g;
}

// Whether query i of example b sees key j; both may be outside of the tensor.
template <typename E>
__device__ inline bool sees(const DotArguments<E>& g, int b, int i, int j) {
  if (i >= g.length || j >= g.memory || (g.causal && j > i)) return false;
  if (g.key_mask == nullptr) return true;
  const int32_t key = g.key_mask[static_cast<int64_t>(b) * g.memory + j];
  return key != 0 && (g.segments == nullptr || key == g.segments[static_cast<int64_t>(b) * g.length + i]);
}

// Whether any query of the tile that begins at i0 may see any key of that at j0: the same for all threads, whole warps
// call it. (With segments it may be true all the same.)
template <typename E>
__device__ inline bool tile_is_seen(const DotArguments<E>& g, int b, int i0, int j0) {
  if (g.causal && j0 >= i0 + kTile) return false;
  if (g.key_mask == nullptr) return true;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  int32_t least = INT32_MIN, most = INT32_MAX;
  if (g.segments != nullptr) {
    least = INT32_MAX, most = INT32_MIN;
    for (int i = i0 + lane; i < i0 + kTile && i < g.length; i += kWarp) {
      const int32_t segment = g.segments[static_cast<int64_t>(b) * g.length + i];
      least = segment < least ? segment : least;
      most = segment > most ? segment : most;
    }
    for (int apart = kWarp / 2; apart > 0; apart /= 2) {
      const int32_t other_least = __shfl_xor_sync(kAllLanes, least, apart);
      const int32_t other_most = __shfl_xor_sync(kAllLanes, most, apart);
      least = other_least < least ? other_least : least;
      most = other_most > most ? other_most : most;
    }
  }
  bool seen = false;
  for (int j = j0 + lane; j < j0 + kTile && j < g.memory; j += kWarp) {
    const int32_t key = g.key_mask[static_cast<int64_t>(b) * g.memory + j];
    seen = seen || (key != 0 && least <= key && key <= most);
  }
  return __any_sync(kAllLanes, seen) != 0;
}

}  // namespace synthesizer::cuda
