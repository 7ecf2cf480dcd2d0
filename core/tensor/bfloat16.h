// Between bfloat16 and float: rounded to nearest, ties to even. NaN stays NaN. And, for code that is the same for every
// element type, between what a tensor holds and what is calculated with.
#pragma once

#include <bit>
#include <type_traits>

#include "core/tensor/dtype.h"

namespace synthesizer {

constexpr float to_float(BFloat16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

constexpr BFloat16 to_bfloat16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7FFFFFFFu) > 0x7F800000u)
    return {static_cast<uint16_t>((u >> 16) | 0x40u)};  // or it might become infinity
  return {static_cast<uint16_t>((u + 0x7FFFu + ((u >> 16) & 1u)) >> 16)};
}

// T as it is calculated with.
template <typename T>
constexpr Compute<T> widened(T x) {
  if constexpr (std::is_same_v<T, BFloat16>)
    return to_float(x);
  else
    return x;
}

// A number as T holds it.
template <typename T, typename From>
constexpr T rounded(From x) {
  if constexpr (std::is_same_v<T, BFloat16>)
    return to_bfloat16(static_cast<float>(x));
  else
    return static_cast<T>(x);
}

}  // namespace synthesizer
