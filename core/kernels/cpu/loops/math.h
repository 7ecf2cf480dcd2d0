// exp and tanh without branches or library calls, so that loops over them become vector code, exp also of vectors.
// Internal linkage: each instruction set has its own. Polynomials after Moshier's Cephes (expf, exp, tanhf, tanh);
// below 2 units in the last place.
#pragma once

#include <cstdint>

namespace synthesizer {
namespace {

struct Math {
  static inline float exp(float x) { return exp_single<float, uint32_t, int32_t>(x); }
  static inline double exp(double x) { return exp_double<double, uint64_t>(x); }

  // As exp, for numbers or for vectors of them (lane_math.h); `scale(p, n, bits)` gives p·2ⁿ, n whole, `bits` its
  // lowest bits as an integer of two's complement. Clamping by `<` keeps NaN.
  template <typename Bits, typename X, typename Scale>
  static inline X exp_single(X x, const Scale& scale) {
    x = x < -104.0f ? X{} - 104.0f : x;
    x = x > 89.0f ? X{} + 89.0f : x;
    const X shifted = x * 1.44269504088896341f + 12582912.0f;  // 1.5·2²³: the low bits are round(x / ln 2)
    const X n = shifted - 12582912.0f;
    const X r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    X p = 1.9875691500e-4f * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return scale(p, n, __builtin_bit_cast(Bits, shifted) - 0x4B400000u);  // NaN leaves any bits here
  }
  // 2ⁿ in two factors, so that results may be infinite or denormal.
  template <typename X, typename Bits, typename Signed>
  static inline X exp_single(X x) {
    return exp_single<Bits>(x, [](X p, X, Bits i) {
      const Bits half = (Bits)((Signed)i >> 1);
      return p * __builtin_bit_cast(X, (half + 127u) << 23) * __builtin_bit_cast(X, (i - half + 127u) << 23);
    });
  }

  template <typename X, typename Bits>
  static inline X exp_double(X x) {
    x = x < -746.0 ? X{} - 746.0 : x;
    x = x > 710.0 ? X{} + 710.0 : x;
    const X shifted = x * 1.4426950408889634073599 + 6755399441055744.0;  // 1.5·2⁵²
    const X n = shifted - 6755399441055744.0;
    const Bits i = __builtin_bit_cast(Bits, shifted) - 0x4338000000000000u;
    const X r = (x - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6;
    const X rr = r * r;
    const X p = r * ((1.26177193074810590878e-4 * rr + 3.02994407707441961300e-2) * rr + 9.99999999999999999910e-1);
    const X q =
        ((3.00198505138664455042e-6 * rr + 2.52448340349684104192e-3) * rr + 2.27265548208155028766e-1) * rr + 2.0;
    const X e = 1.0 + 2.0 * (p / (q - p));
    // i >> 1 for 64 bits has no AVX2 instruction: shift a positive number instead.
    const Bits half = ((i + 4096) >> 1) - 2048;
    return e * __builtin_bit_cast(X, (half + 1023) << 52) * __builtin_bit_cast(X, (i - half + 1023) << 52);
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
