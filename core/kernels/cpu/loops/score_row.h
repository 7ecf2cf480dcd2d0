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

// f<whether there is an addend, whether there is a mask>().
template <typename F>
inline auto by_addend_and_mask(bool addend, bool mask, const F& f) {
  if (addend) return mask ? f.template operator()<true, true>() : f.template operator()<true, false>();
  return mask ? f.template operator()<false, true>() : f.template operator()<false, false>();
}

// The first `seen` scores of a row; what is left of whole vectors is one more, of which the other lanes are −∞.
template <bool kAddend, bool kMask, typename T>
class ScoreRow {
  using L = Lanes<T>;
  using Vector = typename L::Vector;

 public:
  ScoreRow(const T* x, const T* addend, const int32_t* mask, int64_t seen)
      : x_(x), addend_(addend), mask_(mask), whole_(seen / L::kCount * L::kCount), left_(seen - whole_) {
    if (left_ == 0) return;
    T rest[L::kCount];
    for (int64_t i = 0; i < L::kCount; ++i)
      rest[i] = i < left_ ? logit<kAddend, kMask>(x, addend, mask, whole_ + i) : -kInfinity<T>;
    rest_ = L::load(rest);
  }

  // Of these and m.
  T maximum(T m) const {
    Vector most[2] = {Vector{} + m, Vector{} + m};
    int64_t i = 0;
    for (; i + 2 * L::kCount <= whole_; i += 2 * L::kCount) {
      most[0] = larger(logits(i), most[0]);
      most[1] = larger(logits(i + L::kCount), most[1]);
    }
    if (i < whole_) most[0] = larger(logits(i), most[0]);
    if (left_ > 0) most[1] = larger(rest_, most[1]);
    return L::maximum(larger(most[0], most[1]));
  }

  // y = exp(score − base), 0 of masked ones; gives their sum, before they are rounded to y's type. y may be x; those of
  // the rest come with put_rest().
  template <typename Stored>
  double exponentials(T base, Stored* y) {
    constexpr int64_t kPiece = 256;
    LaneSums sums;
    for (int64_t at = 0; at < whole_; at += kPiece) {
      const int64_t end = at + kPiece < whole_ ? at + kPiece : whole_;
      Vector sum{};
      for (int64_t i = at; i < end; i += L::kCount) {
        Vector e = exp(plain(i) - base);
        if constexpr (kMask) e = L::masked(mask_ + i, e);  // whatever the masked logit is
        L::store(e, y + i);
        sum += e;
      }
      sums.add(sum);
    }
    if (left_ > 0) sums.add(rest_ = exp(rest_ - base));
    return sums.total();
  }

  // The row's last exponentials times `scale`, and 0 up to n.
  template <typename Stored>
  void put_rest(T scale, Stored* y, int64_t n) const {
    if (left_ > 0) L::store(rest_ * scale, y + whole_, left_);
    for (int64_t i = whole_ + left_; i < n; ++i) store(y[i], T(0));
  }
  int64_t whole() const { return whole_; }

 private:
  static Vector larger(Vector a, Vector b) { return a > b ? a : b; }

  Vector plain(int64_t i) const {
    Vector v = L::load(x_ + i);
    if constexpr (kAddend) v += L::load(addend_ + i);
    return v;
  }
  Vector logits(int64_t i) const {
    if constexpr (kMask)
      return L::masked(mask_ + i, plain(i), Vector{} - kInfinity<T>);
    else
      return plain(i);
  }

  const T *x_, *addend_;
  const int32_t* mask_;
  int64_t whole_, left_;
  Vector rest_{};
};

}  // namespace
}  // namespace synthesizer
