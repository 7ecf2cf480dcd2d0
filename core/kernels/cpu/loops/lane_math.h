// exp of whole vectors, by what the instruction set has for it. Internal linkage: each instruction set has its own.
#pragma once

#include "core/kernels/cpu/loops/lanes.h"
#include "core/kernels/cpu/loops/math.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace synthesizer {
namespace {

// The same bits as Math::exp of each lane.
inline Floats exp(Floats x) {
#if defined(__AVX512F__)
  return Math::exp_single<FloatBits>(x, [](Floats p, Floats n, FloatBits) {
    return (Floats)_mm512_scalef_ps((__m512)p, (__m512)n);  // infinite or denormal where it has to be
  });
#else
  return Math::exp_single<Floats, FloatBits, FloatIntegers>(x);
#endif
}
inline Doubles exp(Doubles x) { return Math::exp_double<Doubles, DoubleBits>(x); }

}  // namespace
}  // namespace synthesizer
