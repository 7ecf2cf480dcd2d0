// Vectors as wide as the instruction set has them, for loops that must say what stays in registers. Internal linkage:
// each instruction set has its own.
#pragma once

#include <cstdint>
#include <utility>

namespace synthesizer {
namespace {

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int64_t kVectorBytes = 32;
#else
constexpr int64_t kVectorBytes = 16;
#endif

template <int64_t kBytes>
struct IntegerOf {
  using type = int32_t;
};
template <>
struct IntegerOf<8> {
  using type = int64_t;
};

template <typename C>
struct Lanes {
  static constexpr int64_t kCount = kVectorBytes / static_cast<int64_t>(sizeof(C));
  using Integer = typename IntegerOf<sizeof(C)>::type;
  typedef C Vector __attribute__((vector_size(kVectorBytes)));
  typedef Integer Indices __attribute__((vector_size(kVectorBytes)));

  static inline Vector load(const C* x) {
    Vector v;
    __builtin_memcpy(&v, x, sizeof(v));
    return v;
  }
  static inline void store(Vector v, C* x) { __builtin_memcpy(x, &v, sizeof(v)); }

  // Lane i of the result is the sum of the lanes of vectors[i], which are overwritten.
  static inline Vector sums_of_each(Vector (&vectors)[kCount]) {
    halve<kCount / 2>(vectors, std::make_integer_sequence<Integer, kCount>());
    return vectors[0];
  }

 private:
  // Vectors i and i + kHalf become one: the lanes without bit kHalf are the first one's, half of whose lanes are added
  // to the other half, those with it the second one's.
  template <int64_t kHalf, Integer... kLane>
  static inline void halve(Vector (&v)[kCount], std::integer_sequence<Integer, kLane...> lanes) {
    if constexpr (kHalf > 0) {
      constexpr Integer kBit = static_cast<Integer>(kHalf), kSecond = static_cast<Integer>(kCount);
      const Indices kept = {(kLane & kBit ? kLane + kSecond : kLane)...};
      const Indices added = {((kLane ^ kBit) + (kLane & kBit ? kSecond : 0))...};
#pragma GCC unroll 8
      for (int64_t i = 0; i < kHalf; ++i)
        v[i] = __builtin_shuffle(v[i], v[i + kHalf], kept) + __builtin_shuffle(v[i], v[i + kHalf], added);
      halve<kHalf / 2>(v, lanes);
    }
  }
};

}  // namespace
}  // namespace synthesizer
