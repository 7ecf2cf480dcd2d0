// Attention's operands, from where they lie in memory to where blocks are made of them, and back. E is the type in
// memory and of what is multiplied, Compute<E> that of scores, sums and of what all examples share.
#pragma once

#include <algorithm>
#include <span>
#include <type_traits>

#include "core/kernels/cpu/attention/blocks.h"
#include "core/kernels/cpu/parallel.h"
#include "core/tensor/bfloat16.h"

namespace synthesizer {

// Rows of `width` elements, `from_stride` and `to_stride` apart.
template <typename T>
void copy_rows(const T* from, int64_t from_stride, int64_t rows, int64_t width, T* to, int64_t to_stride) {
  for (int64_t i = 0; i < rows; ++i) std::copy_n(from + i * from_stride, width, to + i * to_stride);
}

// The same, rounded to E.
template <typename E>
void store_rows(const Loops<E>& loops, const Compute<E>* from, int64_t from_stride, int64_t rows, int64_t width, E* to,
                int64_t to_stride) {
  for (int64_t i = 0; i < rows; ++i) loops.store(from + i * from_stride, to + i * to_stride, width);
}

// to[j, i] = from[i, j].
template <typename From, typename To>
void transpose(const From* from, int64_t from_stride, int64_t rows, int64_t columns, To* to, int64_t to_stride) {
  constexpr int64_t kTile = 16;
  for (int64_t i0 = 0; i0 < rows; i0 += kTile)
    for (int64_t j0 = 0; j0 < columns; j0 += kTile)
      for (int64_t j = j0; j < std::min(columns, j0 + kTile); ++j)
        for (int64_t i = i0; i < std::min(rows, i0 + kTile); ++i)
          to[j * to_stride + i] = rounded<To>(from[i * from_stride + j]);
}

// The queries of all pairs side by side; and their keys, in `to`, or where they lie if they need not be packed.
template <typename E>
void pack_queries(const AttentionShape& s, std::span<void* const> inputs, int64_t b, int64_t h, int64_t block, E* to) {
  for (size_t p = 0; p < s.pairs.size(); ++p) {
    const auto& pair = s.pairs[p];
    const E* from = input<E>(inputs, 2 * p) + s.at(b, s.length, s.queries.begin(block), h, pair.width);
    copy_rows(from, s.heads * pair.width, s.queries.size_of(block), pair.width, to + pair.begin, s.inner);
  }
}
template <typename E>
const E* pack_keys(const AttentionShape& s, std::span<void* const> inputs, int64_t b, int64_t h, E* to) {
  if (!s.packs_keys()) return input<E>(inputs, 1) + s.at(b, s.memory, 0, h, s.inner);
  for (size_t p = 0; p < s.pairs.size(); ++p) {
    const auto& pair = s.pairs[p];
    if (pair.shared)
      transpose(input<Compute<E>>(inputs, 2 * p + 1) + h * pair.width * s.memory, s.memory, pair.width, s.memory,
                to + pair.begin, s.inner);
    else
      copy_rows(input<E>(inputs, 2 * p + 1) + s.at(b, s.memory, 0, h, pair.width), s.heads * pair.width, s.memory,
                pair.width, to + pair.begin, s.inner);
  }
  return to;
}

// Weights, and the gradients of scores, as they enter products: made where the row of scores begins that they are made
// of, though they may be of a smaller type, so that fewer of a core's cache lines are touched.
template <typename E>
E* as_weights(Compute<E>* scores) {
  return reinterpret_cast<E*>(scores);
}

// Weights as products take them: in `copy` where they are of another type.
template <typename T>
const T* rounded_weights(const CpuContext& context, const Compute<T>* weights, int64_t count, T* copy) {
  if constexpr (std::is_same_v<T, Compute<T>>) {
    return weights;
  } else {
    const auto store = context.loops.of<T>().store;
    parallel_ranges(context.threads, count, 1,
                    [&](int64_t begin, int64_t end) { store(weights + begin, copy + begin, end - begin); });
    return copy;
  }
}

inline const int32_t* mask_of(const DotAttentionOptions& options, std::span<void* const> inputs) {
  return options.key_mask ? input<int32_t>(inputs, options.mask()) : nullptr;
}
inline const int32_t* segments_of(const DotAttentionOptions& options, std::span<void* const> inputs) {
  return options.segments ? input<int32_t>(inputs, options.mask() + 1) : nullptr;
}

}  // namespace synthesizer
