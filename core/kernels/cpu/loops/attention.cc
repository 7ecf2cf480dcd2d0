// Rows of a block of attention's scores: the softmax of a row that is seen a block of keys at a time, and its gradient
// from the sum that was kept.
#include "core/kernels/cpu/loops/score_row.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

template <bool kAddend, bool kMask, typename T, typename C>
C block_row(const C* x, const C* addend, const int32_t* mask, T* weights, int64_t n, int64_t seen, C* maximum,
            double* sum) {
  ScoreRow<kAddend, kMask, C> row(x, addend, mask, seen);
  const C m = row.maximum(*maximum);
  const C base = m == -kInfinity<C> ? C(0) : m;  // of no keys so far: their exponentials are 0, unless one is NaN
  const double total = row.exponentials(base, weights);
  row.put_rest(C(1), weights, n);
  const C scale = m == *maximum ? C(1) : Math::exp(*maximum - base);
  *sum = *sum * static_cast<double>(scale) + total;
  *maximum = m;
  return scale;
}

template <typename T>
Compute<T> attention_row(const Compute<T>* x, const Compute<T>* addend, const int32_t* mask, T* weights, int64_t n,
                         int64_t seen, Compute<T>* maximum, double* sum) {
  return by_addend_and_mask(addend != nullptr, mask != nullptr, [&]<bool kAddend, bool kMask>() {
    return block_row<kAddend, kMask>(x, addend, mask, weights, n, seen, maximum, sum);
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
  using L = Lanes<Compute<T>>;
  int64_t i = 0;
  for (; i + L::kCount <= seen; i += L::kCount) {
    const typename L::Vector p = L::load(from + i), d = p * (L::load(dx + i) - mean);
    if constexpr (kAddend) L::store(L::load(addend + i) + d, addend + i);
    L::store(p, weights + i);
    L::store(d, dscores + i);
  }
  if (const int64_t left = seen - i; left > 0) {
    const typename L::Vector p = L::load(from + i, left), d = p * (L::load(dx + i, left) - mean);
    if constexpr (kAddend) L::store(L::load(addend + i, left) + d, addend + i, left);
    L::store(p, weights + i, left);
    L::store(d, dscores + i, left);
  }
  for (i = seen; i < n; ++i) store(weights[i], Compute<T>(0)), store(dscores[i], Compute<T>(0));
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
    loops.attention_weights_row = attention_weights_row<T>;
  }
  loops.attention_row = attention_row<T>;
  loops.attention_gradient_row = attention_gradient_row<T>;
}
template void add_attention(Loops<float>&);
template void add_attention(Loops<double>&);
template void add_attention(Loops<BFloat16>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
