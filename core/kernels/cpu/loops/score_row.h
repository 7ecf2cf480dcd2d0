// What the softmax of a row does, whole or a block of keys at a time: scores with what is added to them and masked,
// their maximum, their exponentials. Internal linkage: each instruction set has its own.
#pragma once

#include "core/kernels/cpu/loops/families.h"
#include "core/kernels/cpu/loops/lane_math.h"

namespace synthesizer {
namespace {

// The value that counts at key i, or −∞ where the key is masked.
template <bool kAddend, bool kMask, typename T>
inline T logit(const T* x, const T* addend, const int32_t* mask, int64_t i) {
  T v = x[i];
  if constexpr (kAddend) v += addend[i];
  if constexpr (kMask) v = mask[i] != 0 ? v : -kInfinity<T>;
  return v;
}

constexpr int64_t kRowWidth = 16;

// f<whether there is an addend, whether there is a mask>().
template <typename F>
inline auto by_addend_and_mask(bool addend, bool mask, const F& f) {
  if (addend) return mask ? f.template operator()<true, true>() : f.template operator()<true, false>();
  return mask ? f.template operator()<false, true>() : f.template operator()<false, false>();
}

// The first `seen` scores of a row; what is left of whole vectors is padded to one, so that it is vector code too.
template <bool kAddend, bool kMask, typename T>
class ScoreRow {
 public:
  ScoreRow(const T* x, const T* addend, const int32_t* mask, int64_t seen)
      : x_(x), addend_(addend), mask_(mask), seen_(seen), whole_(seen / kRowWidth * kRowWidth) {
    for (int64_t i = 0; i < kRowWidth; ++i)
      rest_[i] = whole_ + i < seen ? logit<kAddend, kMask>(x, addend, mask, whole_ + i) : -kInfinity<T>;
  }

  // Of these and m.
  T maximum(T m) const {
    const Registers r = in_registers();
    const T *x = r.x, *addend = r.addend;
    const int32_t* mask = r.mask;
    const int64_t whole = r.whole;
#pragma omp simd reduction(max : m)
    for (int64_t i = 0; i < whole; ++i) {
      const T v = logit<kAddend, kMask>(x, addend, mask, i);
      m = v > m ? v : m;
    }
#pragma omp simd reduction(max : m)
    for (int64_t i = 0; i < kRowWidth; ++i) m = rest_[i] > m ? rest_[i] : m;
    return m;
  }

  // y = exp(score − base), 0 of masked ones; gives their sum. y may be x; those of the rest come with put_rest().
  double exponentials(T base, T* y) {
    const Registers r = in_registers();
    const T *x = r.x, *addend = r.addend;
    const int32_t* mask = r.mask;
    const int64_t whole = r.whole;
    using L = Lanes<T>;
    constexpr int64_t kPiece = 256;
    LaneSums sums;
    for (int64_t at = 0; at < whole; at += kPiece) {
      const int64_t end = at + kPiece < whole ? at + kPiece : whole;
      typename L::Vector sum{};
      for (int64_t i = at; i < end; i += L::kCount) {
        typename L::Vector v = L::load(x + i);
        if constexpr (kAddend) v += L::load(addend + i);
        typename L::Vector e = exp(v - base);
        if constexpr (kMask) e = L::masked(mask + i, e);  // whatever the masked logit is
        L::store(e, y + i);
        sum += e;
      }
      sums.add(sum);
    }
    T rest = 0;
#pragma omp simd reduction(+ : rest)
    for (int64_t i = 0; i < kRowWidth; ++i) rest += rest_[i] = Math::exp(rest_[i] - base);
    return sums.total() + static_cast<double>(rest);
  }

  // The row's last exponentials times `scale`, and 0 up to n.
  void put_rest(T scale, T* y, int64_t n) const {
    for (int64_t i = whole_; i < seen_; ++i) y[i] = rest_[i - whole_] * scale;
    for (int64_t i = seen_; i < n; ++i) y[i] = T(0);
  }
  int64_t whole() const { return whole_; }

 private:
  // Copies that no store to y can be thought to change, or loops would read them for every element.
  struct Registers {
    const T *x, *addend;
    const int32_t* mask;
    int64_t whole;
  };
  Registers in_registers() const { return {x_, addend_, mask_, whole_}; }

  const T *x_, *addend_;
  const int32_t* mask_;
  int64_t seen_, whole_;
  T rest_[kRowWidth];
};

}  // namespace
}  // namespace synthesizer
