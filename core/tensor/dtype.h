// Element types of tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace synthesizer {

enum class DType { kFloat32, kFloat64, kInt32, kInt64 };

// Bytes of one element.
constexpr int64_t size_of(DType dtype) { return dtype == DType::kFloat32 || dtype == DType::kInt32 ? 4 : 8; }

constexpr bool is_floating(DType dtype) { return dtype == DType::kFloat32 || dtype == DType::kFloat64; }

// "f32", "f64", "i32", "i64".
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
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kInt32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::kInt64;
};
template <typename T>
inline constexpr DType kDTypeOf = DTypeOf<T>::value;

}  // namespace synthesizer
