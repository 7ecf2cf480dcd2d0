// Rows of softmax, its gradient, and of the output layer's log-sum-exp.
#include "core/kernels/cpu/loops/score_row.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

template <bool kMask>
bool any_live(const int32_t* mask, int64_t seen) {
  if constexpr (!kMask) return seen > 0;
  int64_t live = 0;
  for (int64_t i = 0; i < seen; ++i) live += mask[i] != 0;
  return live > 0;
}

template <bool kAddend, bool kMask, typename T>
void softmax_row(const T* x, const T* addend, const int32_t* mask, T* y, int64_t n, int64_t seen) {
  ScoreRow<kAddend, kMask, T> row(x, addend, mask, seen);
  const T m = row.maximum(-kInfinity<T>);
  if (m == -kInfinity<T> && !any_live<kMask>(mask, seen)) {
    for (int64_t i = 0; i < n; ++i) y[i] = T(0);
    return;
  }
  const T scale = static_cast<T>(1.0 / row.exponentials(m, y));
#pragma omp simd
  for (int64_t i = 0; i < row.whole(); ++i) y[i] *= scale;
  row.put_rest(scale, y, n);
}

template <typename T>
void softmax(const T* x, const T* addend, const int32_t* mask, T* y, int64_t n, int64_t seen) {
  by_addend_and_mask(addend != nullptr, mask != nullptr,
                     [&]<bool kAddend, bool kMask>() { softmax_row<kAddend, kMask>(x, addend, mask, y, n, seen); });
}

template <typename T>
void softmax_gradient(const T* y, const T* dy, T* dx, int64_t n, int64_t seen) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < seen; ++i) sum += static_cast<double>(y[i] * dy[i]);
  const T mean = static_cast<T>(sum);
#pragma omp simd
  for (int64_t i = 0; i < seen; ++i) dx[i] = y[i] * (dy[i] - mean);
  for (int64_t i = seen; i < n; ++i) dx[i] = T(0);
}

template <typename T>
void log_sum_exp(const Compute<T>* logits, int64_t n, Compute<T>* maximum, double* sum) {
  Compute<T> m = *maximum;
#pragma omp simd reduction(max : m)
  for (int64_t i = 0; i < n; ++i) m = logits[i] > m ? logits[i] : m;
  using L = Lanes<Compute<T>>;
  constexpr int64_t kPiece = 256;
  LaneSums sums;
  int64_t i = 0;
  while (i + L::kCount <= n) {
    typename L::Vector sum{};
    for (const int64_t end = i + kPiece; i < end && i + L::kCount <= n; i += L::kCount)
      sum += exp(L::load(logits + i) - m);
    sums.add(sum);
  }
  if (i < n) sums.add(L::first(exp(L::load(logits + i, n - i) - m), n - i));
  const double before = *sum == 0 ? 0 : *sum * static_cast<double>(Math::exp(static_cast<double>(*maximum - m)));
  *sum = before + sums.total();
  *maximum = m;
}

template <typename T>
void word_weights(const Compute<T>* logits, T* weights, int64_t n, Compute<T> log_z) {
  using L = Lanes<Compute<T>>;
  int64_t i = 0;
  for (; i + L::kCount <= n; i += L::kCount) L::store(exp(L::load(logits + i) - log_z), weights + i);
  if (i < n) L::store(exp(L::load(logits + i, n - i) - log_z), weights + i, n - i);
}

template <typename T>
void cross_entropy_gradient(const T* weights, T* d, int64_t n, Compute<T> d_log_z, Compute<T> d_mean) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) store(d[i], d_log_z * load(weights[i]) + d_mean);
}

}  // namespace

template <typename T>
void add_softmax(Loops<T>& loops) {
  if constexpr (sizeof(T) >= 4) {
    loops.softmax = softmax<T>;
    loops.softmax_gradient = softmax_gradient<T>;
  }
  loops.log_sum_exp = log_sum_exp<T>;
  loops.word_weights = word_weights<T>;
  loops.cross_entropy_gradient = cross_entropy_gradient<T>;
}
template void add_softmax(Loops<float>&);
template void add_softmax(Loops<double>&);
template void add_softmax(Loops<BFloat16>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
