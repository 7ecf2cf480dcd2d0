// Elements as they are stored, and as they are calculated with. Internal linkage: each instruction set has its own
// (core/tensor/bfloat16.h is for everyone else).
#pragma once

#include <cstdint>

#include "core/tensor/dtype.h"

namespace synthesizer {
namespace {

inline float load(float x) { return x; }
inline double load(double x) { return x; }
inline float load(BFloat16 x) { return __builtin_bit_cast(float, static_cast<uint32_t>(x.bits) << 16); }

inline void store(float& to, float x) { to = x; }
inline void store(double& to, double x) { to = x; }
// Rounded to nearest, ties to even; NaN stays NaN. Without branches, so that loops become vector code.
inline void store(BFloat16& to, float x) {
  const uint32_t u = __builtin_bit_cast(uint32_t, x);
  to.bits = static_cast<uint16_t>((x != x ? u | 0x400000u : u + (0x7FFFu + ((u >> 16) & 1u))) >> 16);
}

}  // namespace
}  // namespace synthesizer
