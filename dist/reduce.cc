#include "dist/reduce.h"

#include "core/base/error.h"

namespace synthesizer {
namespace {

template <typename T>
void reduce_typed(T* accumulator, const T* in, int64_t count, Reduction reduction) {
  if (reduction == Reduction::kSum) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) accumulator[i] += in[i];
  } else {
    // Written so that a NaN on either side wins: it must not vanish in the maximum.
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const bool keep = accumulator[i] >= in[i] || accumulator[i] != accumulator[i];
      accumulator[i] = keep ? accumulator[i] : in[i];
    }
  }
}

}  // namespace

void reduce_into(void* accumulator, const void* in, int64_t count, DType dtype, Reduction reduction) {
  switch (dtype) {
    case DType::kFloat32:
      return reduce_typed(static_cast<float*>(accumulator), static_cast<const float*>(in), count, reduction);
    case DType::kFloat64:
      return reduce_typed(static_cast<double*>(accumulator), static_cast<const double*>(in), count, reduction);
    case DType::kInt32:
      return reduce_typed(static_cast<int32_t*>(accumulator), static_cast<const int32_t*>(in), count, reduction);
    case DType::kInt64:
      return reduce_typed(static_cast<int64_t*>(accumulator), static_cast<const int64_t*>(in), count, reduction);
  }
  fail("reduce: unknown dtype {}", static_cast<int>(dtype));
}

}  // namespace synthesizer
