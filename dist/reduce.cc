#include "dist/reduce.h"

#include <algorithm>
#include <bit>
#include <type_traits>

#include "core/base/error.h"
#include "core/tensor/bfloat16.h"

namespace synthesizer {
namespace {

constexpr int64_t kPiece = 1024;  // elements joined at once: what lies between the tree's levels stays in the cache

// Bfloat16 is joined in float, and rounded at every level of the tree.
template <typename T>
void join(const T* a, const T* b, T* out, int64_t count, Reduction reduction) {
  if (reduction == Reduction::kSum) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) out[i] = rounded<T>(widened(a[i]) + widened(b[i]));
  } else {
    // Written so that a NaN on either side wins: it must not vanish in the maximum.
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const bool keep = widened(a[i]) >= widened(b[i]) || widened(a[i]) != widened(a[i]);
      out[i] = keep ? a[i] : b[i];
    }
  }
}

// Elements [from, from + count) of all blocks joined: in `out`, or where the only block has them.
template <typename T>
const T* join_tree(std::span<const void* const> blocks, int64_t from, T* out, int64_t count, Reduction reduction) {
  if (blocks.size() == 1) return static_cast<const T*>(blocks[0]) + from;
  const size_t left = std::bit_ceil(blocks.size()) / 2;
  T buffer[kPiece];
  const T* a = join_tree(blocks.first(left), from, out, count, reduction);
  const T* b = join_tree(blocks.subspan(left), from, buffer, count, reduction);
  join(a, b, out, count, reduction);
  return out;
}

template <typename T>
void reduce_typed(std::span<const void* const> blocks, T* out, int64_t count, Reduction reduction) {
  for (int64_t from = 0; from < count; from += kPiece) {
    const int64_t piece = std::min(kPiece, count - from);
    const T* joined = join_tree(blocks, from, out + from, piece, reduction);
    if (joined != out + from) std::copy(joined, joined + piece, out + from);
  }
}

// Elements [from, from + count) of all blocks' sum: in `buffer`, or where the only block has them.
const float* sum_tree(std::span<const Terms> blocks, int64_t from, float* buffer, int64_t count) {
  if (blocks.size() == 1) {
    const Terms& terms = blocks[0];
    if (terms.sent != nullptr) {
      widen_to(buffer, terms.sent + from, count);
    } else {
      if (!terms.rounded) return terms.here + from;
      std::copy_n(terms.here + from, count, buffer);
      round_in_place(buffer, count);
    }
    return buffer;
  }
  const size_t left = std::bit_ceil(blocks.size()) / 2;
  float other[kPiece];
  const float* a = sum_tree(blocks.first(left), from, buffer, count);
  const float* b = sum_tree(blocks.subspan(left), from, other, count);
  join(a, b, buffer, count, Reduction::kSum);
  return buffer;
}

}  // namespace

void sum_terms(std::span<const Terms> blocks, float* out, int64_t count) {
  float buffer[kPiece];
  for (int64_t from = 0; from < count; from += kPiece) {
    const int64_t piece = std::min(kPiece, count - from);
    const float* sum = sum_tree(blocks, from, buffer, piece);
    if (sum != out + from) std::copy_n(sum, piece, out + from);
  }
}

void round_to(BFloat16* to, const float* from, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[i] = to_bfloat16(from[i]);
}

void widen_to(float* to, const BFloat16* from, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[i] = to_float(from[i]);
}

void round_in_place(float* data, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) data[i] = to_float(to_bfloat16(data[i]));
}

void reduce_blocks(std::span<const void* const> blocks, void* out, int64_t count, DType dtype, Reduction reduction) {
  switch (dtype) {
    case DType::kFloat32:
      return reduce_typed(blocks, static_cast<float*>(out), count, reduction);
    case DType::kFloat64:
      return reduce_typed(blocks, static_cast<double*>(out), count, reduction);
    case DType::kBFloat16:
      return reduce_typed(blocks, static_cast<BFloat16*>(out), count, reduction);
    case DType::kInt32:
      return reduce_typed(blocks, static_cast<int32_t*>(out), count, reduction);
    case DType::kInt64:
      return reduce_typed(blocks, static_cast<int64_t*>(out), count, reduction);
  }
  fail("reduce: unknown dtype {}", static_cast<int>(dtype));
}

}  // namespace synthesizer
