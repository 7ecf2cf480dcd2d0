// Element types of tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace synthesizer {

enum class DType { kFloat32, kFloat64, kBFloat16, kInt32, kInt64 };

// The upper half of a float's bits: its exponent, and 8 bits of precision. Only stored: what is calculated with it is
// calculated in float. (core/tensor/bfloat16.h converts.)
struct BFloat16 {
  uint16_t bits = 0;
};

// Bytes of one element.
constexpr int64_t size_of(DType dtype) {
  return dtype == DType::kBFloat16 ? 2 : dtype == DType::kFloat32 || dtype == DType::kInt32 ? 4 : 8;
}

constexpr bool is_floating(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kFloat64 || dtype == DType::kBFloat16;
}

// The type that is calculated in: sums, norms, softmaxes, what is kept of them.
constexpr DType compute_type(DType dtype) { return dtype == DType::kBFloat16 ? DType::kFloat32 : dtype; }

// "f32", "f64", "bf16", "i32", "i64".
std::string_view to_string(DType dtype);

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kFloat32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kFloat64;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::kBFloat16;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kInt32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::kInt64;
};
template <typename T>
inline constexpr DType kDTypeOf = DTypeOf<T>::value;

// compute_type() as a type of C++.
template <typename T>
struct ComputeOf {
  using type = T;
};
template <>
struct ComputeOf<BFloat16> {
  using type = float;
};
template <typename T>
using Compute = typename ComputeOf<T>::type;

}  // namespace synthesizer
