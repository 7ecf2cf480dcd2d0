// Rows of a block of attention's scores: the softmax of a row that is seen a block of keys at a time, and its gradient
// from the sum that was kept.
#include "core/kernels/cpu/loops/score_row.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

template <bool kAddend, bool kMask, typename T>
T block_row(T* x, const T* addend, const int32_t* mask, int64_t n, int64_t seen, T* maximum, double* sum) {
  ScoreRow<kAddend, kMask, T> row(x, addend, mask, seen);
  const T m = row.maximum(*maximum);
  const T base = m == -kInfinity<T> ? T(0) : m;  // of no keys so far: their exponentials are 0, unless one is NaN
  const double total = row.exponentials(base, x);
  row.put_rest(T(1), x, n);
  const T scale = m == *maximum ? T(1) : Math::exp(*maximum - base);
  *sum = *sum * static_cast<double>(scale) + total;
  *maximum = m;
  return scale;
}

template <typename T>
T attention_row(T* x, const T* addend, const int32_t* mask, int64_t n, int64_t seen, T* maximum, double* sum) {
  return by_addend_and_mask(addend != nullptr, mask != nullptr, [&]<bool kAddend, bool kMask>() {
    return block_row<kAddend, kMask>(x, addend, mask, n, seen, maximum, sum);
  });
}

template <bool kAddend, bool kMask, typename T>
double weights_row(T* x, const T* addend, const int32_t* mask, T log_sum, const T* dx, int64_t n, int64_t seen) {
  using L = Lanes<T>;
  const auto weights = [&](int64_t i) {
    typename L::Vector v = L::load(x + i);
    if constexpr (kAddend) v += L::load(addend + i);
    const typename L::Vector p = exp(v - log_sum);
    if constexpr (kMask) return L::masked(mask + i, p);
    return p;
  };
  typename L::Vector sums{};  // of a block of keys at most
  int64_t end = 0;
  for (; end + L::kCount <= seen; end += L::kCount) {
    const typename L::Vector p = weights(end);
    L::store(p, x + end);
    sums += p * L::load(dx + end);
  }
  if (end < seen && end + L::kCount <= n) {
    const typename L::Vector p = L::first(weights(end), seen - end);
    L::store(p, x + end);
    sums += L::first(p * L::load(dx + end), seen - end);
    end += L::kCount;
  }
  double sum = L::sum(sums);
  for (int64_t i = end; i < n; ++i) {
    const T p = i < seen ? Math::exp(logit<kAddend, kMask>(x, addend, mask, i) - log_sum) : T(0);
    x[i] = p;
    if (i < seen) sum += static_cast<double>(p * dx[i]);
  }
  return sum;
}

template <typename T>
double attention_weights_row(T* x, const T* addend, const int32_t* mask, T log_sum, const T* dx, int64_t n,
                             int64_t seen) {
  return by_addend_and_mask(addend != nullptr, mask != nullptr, [&]<bool kAddend, bool kMask>() {
    return weights_row<kAddend, kMask>(x, addend, mask, log_sum, dx, n, seen);
  });
}

template <bool kAddend, typename T>
void gradient_row(const Compute<T>* from, const Compute<T>* dx, Compute<T> mean, int64_t n, int64_t seen,
                  Compute<T>* addend, T* weights, T* dscores) {
#pragma omp simd
  for (int64_t i = 0; i < seen; ++i) {
    const Compute<T> p = from[i], d = p * (dx[i] - mean);
    if constexpr (kAddend) addend[i] += d;
    store(weights[i], p);
    store(dscores[i], d);
  }
  for (int64_t i = seen; i < n; ++i) store(weights[i], Compute<T>(0)), store(dscores[i], Compute<T>(0));
}

template <typename T>
void attention_gradient_row(const Compute<T>* from, const Compute<T>* dx, Compute<T> mean, int64_t n, int64_t seen,
                            Compute<T>* addend, T* weights, T* dscores) {
  if (addend != nullptr)
    gradient_row<true>(from, dx, mean, n, seen, addend, weights, dscores);
  else
    gradient_row<false>(from, dx, mean, n, seen, addend, weights, dscores);
}

}  // namespace

template <typename T>
void add_attention(Loops<T>& loops) {
  if constexpr (sizeof(T) >= 4) {  // scores are never stored in less
    loops.attention_row = attention_row<T>;
    loops.attention_weights_row = attention_weights_row<T>;
  }
  loops.attention_gradient_row = attention_gradient_row<T>;
}
template void add_attention(Loops<float>&);
template void add_attention(Loops<double>&);
template void add_attention(Loops<BFloat16>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
