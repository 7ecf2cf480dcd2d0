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
// to[j, i] += from[i, j].
template <typename T>
void add_transposed(const T* from, int64_t from_stride, int64_t rows, int64_t columns, T* to, int64_t to_stride) {
  for (int64_t j = 0; j < columns; ++j)
    for (int64_t i = 0; i < rows; ++i) to[j * to_stride + i] += from[i * from_stride + j];
}

// The queries of all pairs side by side; and their keys, in `to`, or where they lie if they need not be packed.
template <typename E>
void pack_queries(const AttentionShape& s, std::span<void* const> inputs, int64_t b, int64_t h, int64_t block, E* to) {
  for (const auto& pair : s.pairs) {
    const E* from = input<E>(inputs, 2 * pair.at) + s.at(b, s.length, s.queries.begin(block), h, pair.width);
    copy_rows(from, s.heads * pair.width, s.queries.size_of(block), pair.width, to + pair.begin, s.inner);
  }
}
template <typename E>
const E* pack_keys(const AttentionShape& s, const Places& places, std::span<void* const> inputs, int64_t b, int64_t h,
                   E* to) {
  if (!s.packs_keys()) return input<E>(inputs, 2 * s.pairs[0].at + 1) + s.at(b, s.memory, 0, h, s.inner);
  for (const auto& pair : s.pairs) {
    if (!pair.shared) {
      copy_rows(input<E>(inputs, 2 * pair.at + 1) + s.at(b, s.memory, 0, h, pair.width), s.heads * pair.width, s.memory,
                pair.width, to + pair.begin, s.inner);
      continue;
    }
    const Compute<E>* const keys = input<Compute<E>>(inputs, 2 * pair.at + 1) + h * pair.width * s.memory;
    const auto put = [&](int64_t first, int64_t count, int64_t place) {
      transpose(keys + place, s.memory, pair.width, count, to + first * s.inner + pair.begin, s.inner);
    };
    if (!places.given()) {
      put(0, s.memory, 0);
      continue;
    }
    for (int64_t j = 0; j < s.memory; ++j) std::fill_n(to + j * s.inner + pair.begin, pair.width, E{});
    places.each_run(b, put);
  }
  return to;
}

// A block of a row of what the examples share, from key `begin` on: where it lies, or with zeros for what no key is of
// in `buffer`. And what was added up in such a buffer, to the row.
template <typename T>
const T* placed(const T* row, int64_t shift, int64_t begin, int64_t columns, T* buffer) {
  if (begin >= shift) return row + (begin - shift);
  const int64_t outside = std::min(shift - begin, columns);
  std::fill_n(buffer, outside, T(0));
  std::copy_n(row, columns - outside, buffer + outside);
  return buffer;
}
template <typename T>
void add_placed(const T* buffer, int64_t shift, int64_t begin, int64_t columns, T* row) {
  const int64_t outside = std::clamp<int64_t>(shift - begin, 0, columns);
  for (int64_t j = outside; j < columns; ++j) row[begin + j - shift] += buffer[j];
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
inline Places places_of(const AttentionShape& s, const DotAttentionOptions& options, std::span<void* const> inputs) {
  return {s, options.positions ? input<int32_t>(inputs, options.mask() + 2) : nullptr};
}

}  // namespace synthesizer
