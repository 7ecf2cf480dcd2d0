// Vectors as wide as the instruction set has them, for loops that must say what stays in registers. Internal linkage:
// each instruction set has its own.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "core/tensor/dtype.h"

namespace synthesizer {
namespace {

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int64_t kVectorBytes = 32;
#else
constexpr int64_t kVectorBytes = 16;
#endif

typedef float Floats __attribute__((vector_size(kVectorBytes)));
typedef double Doubles __attribute__((vector_size(kVectorBytes)));
typedef double WideFloats __attribute__((vector_size(2 * kVectorBytes)));
typedef uint32_t FloatBits __attribute__((vector_size(kVectorBytes)));
typedef int32_t FloatIntegers __attribute__((vector_size(kVectorBytes)));
typedef uint64_t DoubleBits __attribute__((vector_size(kVectorBytes)));
typedef int64_t DoubleIntegers __attribute__((vector_size(kVectorBytes)));
typedef int32_t HalfIntegers __attribute__((vector_size(kVectorBytes / 2)));
typedef uint16_t Halves __attribute__((vector_size(kVectorBytes / 2)));

// As element.h does it.
inline Floats load_stored(const BFloat16* x) {
  Halves halves;
  __builtin_memcpy(&halves, static_cast<const void*>(x), sizeof(halves));
  return (Floats)(__builtin_convertvector(halves, FloatBits) << 16);
}
// With what is stored in the upper half.
inline FloatBits rounded_bits(Floats v) {
  const FloatBits u = (FloatBits)v;
  return v != v ? u | 0x400000u : u + (0x7FFFu + ((u >> 16) & 1u));
}
inline void store_rounded(Floats v, BFloat16* x) {
  const Halves halves = __builtin_convertvector(rounded_bits(v) >> 16, Halves);
  __builtin_memcpy(static_cast<void*>(x), &halves, sizeof(halves));
}

inline void add_lanes(double* sums, Floats v) {
  WideFloats all;
  __builtin_memcpy(&all, sums, sizeof(all));
  all += __builtin_convertvector(v, WideFloats);
  __builtin_memcpy(sums, &all, sizeof(all));
}
inline void add_lanes(double* sums, Doubles v) {
  Doubles all;
  __builtin_memcpy(&all, sums, sizeof(all));
  all += v;
  __builtin_memcpy(sums, &all, sizeof(all));
}

template <int64_t kBytes>
struct IntegerOf {
  using type = int32_t;
};
template <>
struct IntegerOf<8> {
  using type = int64_t;
};

double sum_of_doubles(const WideFloats& v);

template <typename C>
struct Lanes {
  static constexpr int64_t kCount = kVectorBytes / static_cast<int64_t>(sizeof(C));
  using Integer = typename IntegerOf<sizeof(C)>::type;
  typedef C Vector __attribute__((vector_size(kVectorBytes)));

  static inline Vector load(const C* x) {
    Vector v;
    __builtin_memcpy(&v, x, sizeof(v));
    return v;
  }
  static inline void store(Vector v, C* x) { __builtin_memcpy(x, &v, sizeof(v)); }

  static inline auto load(const BFloat16* x) { return load_stored(x); }
  static inline void store(Vector v, BFloat16* x) { store_rounded(v, x); }
  // The first n lanes, the others 0.
  template <typename T>
  static inline Vector load(const T* x, int64_t n) {
    T all[kCount] = {};
    for (int64_t i = 0; i < n; ++i) all[i] = x[i];
    return load(all);
  }
  template <typename T>
  static inline void store(Vector v, T* x, int64_t n) {
    T all[kCount];
    store(v, all);
    for (int64_t i = 0; i < n; ++i) x[i] = all[i];
  }

  // The first n lanes of v, the others 0.
  static inline Vector first(Vector v, int64_t n) {
    std::conditional_t<sizeof(C) == 4, FloatIntegers, DoubleIntegers> lane;
    for (int64_t i = 0; i < kCount; ++i) lane[i] = static_cast<Integer>(i);
    return lane < static_cast<Integer>(n) ? v : Vector{};
  }
  // v where the mask is not 0, and exactly `other`, or 0, elsewhere.
  static inline Vector masked(const int32_t* mask, Vector v, Vector other) {
    if constexpr (sizeof(C) == 4) {
      FloatIntegers m;
      __builtin_memcpy(&m, mask, sizeof(m));
      return m != 0 ? v : other;
    } else {
      HalfIntegers m;
      __builtin_memcpy(&m, mask, sizeof(m));
      return __builtin_convertvector(m, DoubleIntegers) != 0 ? v : other;
    }
  }

  static inline Vector masked(const int32_t* mask, Vector v) { return masked(mask, v, Vector{}); }

  static inline double sum(Vector v) {
    if constexpr (sizeof(C) == 4)
      return sum_of_doubles(__builtin_convertvector(v, WideFloats));
    else
      return fold<kCount / 2>(
          v, [](Vector a, Vector b) { return a + b; }, kAll)[0];
  }
  // But of NaN.
  static inline C maximum(Vector v) {
    return fold<kCount / 2>(
        v, [](Vector a, Vector b) { return a > b ? a : b; }, kAll)[0];
  }
  // Lane i of the result is the sum of the lanes of vectors[i], which are overwritten.
  static inline Vector sums_of_each(Vector (&vectors)[kCount]) {
    halve<kCount / 2>(vectors, kAll);
    return vectors[0];
  }

 private:
  static constexpr std::make_integer_sequence<Integer, kCount> kAll{};

  // Every lane of the result is f over all lanes.
  template <int64_t kHalf, typename F, Integer... kLane>
  static inline Vector fold(Vector v, const F& f, std::integer_sequence<Integer, kLane...> lanes) {
    if constexpr (kHalf == 0)
      return v;
    else
      return fold<kHalf / 2>(f(v, __builtin_shufflevector(v, v, (kLane ^ static_cast<Integer>(kHalf))...)), f, lanes);
  }
  // Vectors i and i + kHalf become one: the lanes without bit kHalf are the first one's, half of whose lanes are added
  // to the other half, those with it the second one's.
  template <int64_t kHalf, Integer... kLane>
  static inline void halve(Vector (&v)[kCount], std::integer_sequence<Integer, kLane...> lanes) {
    if constexpr (kHalf > 0) {
      constexpr Integer kBit = static_cast<Integer>(kHalf), kSecond = static_cast<Integer>(kCount);
#pragma GCC unroll 8
      for (int64_t i = 0; i < kHalf; ++i)
        v[i] = __builtin_shufflevector(v[i], v[i + kHalf], (kLane & kBit ? kLane + kSecond : kLane)...) +
               __builtin_shufflevector(v[i], v[i + kHalf], ((kLane ^ kBit) + (kLane & kBit ? kSecond : 0))...);
      halve<kHalf / 2>(v, lanes);
    }
  }
};

inline double sum_of_doubles(const WideFloats& v) {
  Doubles halves[2];
  __builtin_memcpy(halves, &v, sizeof(v));
  return Lanes<double>::sum(halves[0] + halves[1]);
}

// Sums of few vectors in their own type, of these in double.
struct LaneSums {
  void add(Floats v) { lanes += __builtin_convertvector(v, WideFloats); }
  void add(Doubles v) {
    WideFloats all{};
    __builtin_memcpy(&all, &v, sizeof(v));
    lanes += all;
  }
  double total() const { return sum_of_doubles(lanes); }

  WideFloats lanes{};
};

}  // namespace
}  // namespace synthesizer
