// Attention's operands, from where they lie in memory to where blocks are made of them, and back. E is the type in
// memory, T that of scores and sums.
#pragma once

#include <algorithm>
#include <span>

#include "core/kernels/cpu/attention_blocks.h"

namespace synthesizer {

// Rows of `width` elements, `from_stride` and `to_stride` apart.
template <typename From, typename To>
void copy_rows(const From* from, int64_t from_stride, int64_t rows, int64_t width, To* to, int64_t to_stride) {
  for (int64_t i = 0; i < rows; ++i)
    std::transform(from + i * from_stride, from + i * from_stride + width, to + i * to_stride,
                   [](From x) { return static_cast<To>(x); });
}

template <typename T>
void copy_rows(const T* from, int64_t from_stride, int64_t rows, int64_t width, T* to, int64_t to_stride) {
  for (int64_t i = 0; i < rows; ++i) std::copy_n(from + i * from_stride, width, to + i * to_stride);
}

// to[j, i] = from[i, j].
template <typename From, typename To>
void transpose(const From* from, int64_t from_stride, int64_t rows, int64_t columns, To* to, int64_t to_stride) {
  constexpr int64_t kTile = 16;
  for (int64_t i0 = 0; i0 < rows; i0 += kTile)
    for (int64_t j0 = 0; j0 < columns; j0 += kTile)
      for (int64_t j = j0; j < std::min(columns, j0 + kTile); ++j)
        for (int64_t i = i0; i < std::min(rows, i0 + kTile); ++i)
          to[j * to_stride + i] = static_cast<To>(from[i * from_stride + j]);
}

// The queries of all pairs side by side, and their keys. E is the type in memory.
template <typename E, typename T>
void pack_queries(const AttentionShape& s, std::span<void* const> inputs, int64_t b, int64_t h, int64_t block, T* to) {
  for (size_t p = 0; p < s.pairs.size(); ++p) {
    const auto& pair = s.pairs[p];
    const E* from = input<E>(inputs, 2 * p) + s.at(b, s.length, s.queries.begin(block), h, pair.width);
    copy_rows(from, s.heads * pair.width, s.queries.size_of(block), pair.width, to + pair.begin, s.inner);
  }
}
template <typename E, typename T>
void pack_keys(const AttentionShape& s, std::span<void* const> inputs, int64_t b, int64_t h, T* to) {
  for (size_t p = 0; p < s.pairs.size(); ++p) {
    const auto& pair = s.pairs[p];
    const E* from = input<E>(inputs, 2 * p + 1);
    if (pair.shared)
      transpose(from + h * pair.width * s.memory, s.memory, pair.width, s.memory, to + pair.begin, s.inner);
    else
      copy_rows(from + s.at(b, s.memory, 0, h, pair.width), s.heads * pair.width, s.memory, pair.width, to + pair.begin,
                s.inner);
  }
}

inline const int32_t* mask_of(const DotAttentionOptions& options, std::span<void* const> inputs) {
  return options.key_mask ? input<int32_t>(inputs, options.mask()) : nullptr;
}
inline const int32_t* segments_of(const DotAttentionOptions& options, std::span<void* const> inputs) {
  return options.segments ? input<int32_t>(inputs, options.mask() + 1) : nullptr;
}

}  // namespace synthesizer
