// Between bfloat16 and float: rounded to nearest, ties to even. NaN stays NaN.
#pragma once

#include <bit>

#include "core/tensor/dtype.h"

namespace synthesizer {

constexpr float to_float(BFloat16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

constexpr BFloat16 to_bfloat16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7FFFFFFFu) > 0x7F800000u)
    return {static_cast<uint16_t>((u >> 16) | 0x40u)};  // or it might become infinity
  return {static_cast<uint16_t>((u + 0x7FFFu + ((u >> 16) & 1u)) >> 16)};
}

}  // namespace synthesizer
