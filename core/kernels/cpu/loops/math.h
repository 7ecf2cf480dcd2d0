// exp and tanh without branches or library calls, so that loops over them become vector code. Internal linkage: each
// instruction set has its own. Polynomials after Moshier's Cephes (expf, exp, tanhf, tanh); below 2 units in the last
// place.
#pragma once

#include <cstdint>

namespace synthesizer {
namespace {

struct Math {
  // Clamping by `<` keeps NaN; 2ⁿ is applied in two factors, so that results may be infinite or denormal.
  static inline float exp(float x) {
    x = x < -104.0f ? -104.0f : x;
    x = x > 89.0f ? 89.0f : x;
    const float shifted = x * 1.44269504088896341f + 12582912.0f;  // 1.5·2²³: the low bits are round(x / ln 2)
    const float n = shifted - 12582912.0f;
    // Unsigned, since NaN leaves any bits here.
    const uint32_t i = __builtin_bit_cast(uint32_t, shifted) - 0x4B400000u;
    const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const uint32_t half = static_cast<uint32_t>(static_cast<int32_t>(i) >> 1);
    return p * __builtin_bit_cast(float, (half + 127u) << 23) * __builtin_bit_cast(float, (i - half + 127u) << 23);
  }

  static inline double exp(double x) {
    x = x < -746.0 ? -746.0 : x;
    x = x > 710.0 ? 710.0 : x;
    const double shifted = x * 1.4426950408889634073599 + 6755399441055744.0;  // 1.5·2⁵²
    const double n = shifted - 6755399441055744.0;
    const uint64_t i = __builtin_bit_cast(uint64_t, shifted) - 0x4338000000000000u;
    const double r = (x - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6;
    const double rr = r * r;
    const double p =
        r * ((1.26177193074810590878e-4 * rr + 3.02994407707441961300e-2) * rr + 9.99999999999999999910e-1);
    const double q =
        ((3.00198505138664455042e-6 * rr + 2.52448340349684104192e-3) * rr + 2.27265548208155028766e-1) * rr + 2.0;
    const double e = 1.0 + 2.0 * (p / (q - p));
    // i >> 1 for 64 bits has no AVX2 instruction: shift a positive number instead.
    const uint64_t half = ((i + 4096) >> 1) - 2048;
    return e * __builtin_bit_cast(double, (half + 1023) << 52) * __builtin_bit_cast(double, (i - half + 1023) << 52);
  }

  static inline float log(float x) { return __builtin_logf(x); }
  static inline double log(double x) { return __builtin_log(x); }
  static inline float sqrt(float x) { return __builtin_sqrtf(x); }
  static inline double sqrt(double x) { return __builtin_sqrt(x); }

  static inline float tanh(float x) {
    const float s = x * x;
    const float a = x < 0 ? -x : x;
    const float small =
        ((((-5.70498872745e-3f * s + 2.06390887954e-2f) * s - 5.37397155531e-2f) * s + 1.33314422036e-1f) * s -
         3.33332819422e-1f) *
            s * x +
        x;
    const float large = 1.0f - 2.0f / (exp(a + a) + 1.0f);
    return a < 0.625f ? small : (x < 0 ? -large : large);
  }

  static inline double tanh(double x) {
    const double s = x * x;
    const double a = x < 0 ? -x : x;
    const double p = (-9.64399179425052238628e-1 * s - 9.92877231001918586564e1) * s - 1.61468768441708447952e3;
    const double q = ((s + 1.12811678491632931402e2) * s + 2.23548839060100448583e3) * s + 4.84406305325125486048e3;
    const double small = x + x * s * (p / q);
    const double large = 1.0 - 2.0 / (exp(a + a) + 1.0);
    return a < 0.625 ? small : (x < 0 ? -large : large);
  }
};

template <typename T>
constexpr T kInfinity = static_cast<T>(__builtin_inf());

}  // namespace
}  // namespace synthesizer
