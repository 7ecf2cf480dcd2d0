// Rows of softmax, its gradient, and of the output layer's log-sum-exp.
#include "core/kernels/cpu/loops/families.h"
#include "core/kernels/cpu/loops/math.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

// The value that counts at key i, or −∞ where the key is masked.
template <bool kAddend, bool kMask, typename T>
inline T logit(const T* x, const T* addend, const int32_t* mask, int64_t i) {
  T v = x[i];
  if constexpr (kAddend) v += addend[i];
  if constexpr (kMask) v = mask[i] != 0 ? v : -kInfinity<T>;
  return v;
}

constexpr int64_t kWidth = 16;  // what is left of a row is padded to this, so that it is vector code too

template <bool kMask>
bool any_live(const int32_t* mask, int64_t seen) {
  if constexpr (!kMask) return seen > 0;
  int64_t live = 0;
  for (int64_t i = 0; i < seen; ++i) live += mask[i] != 0;
  return live > 0;
}

template <bool kAddend, bool kMask, typename T>
void softmax_row(const T* x, const T* addend, const int32_t* mask, T* y, int64_t n, int64_t seen) {
  const int64_t whole = seen / kWidth * kWidth;
  T rest[kWidth];
  for (int64_t i = 0; i < kWidth; ++i)
    rest[i] = whole + i < seen ? logit<kAddend, kMask>(x, addend, mask, whole + i) : -kInfinity<T>;
  T m = -kInfinity<T>;
#pragma omp simd reduction(max : m)
  for (int64_t i = 0; i < whole; ++i) {
    const T v = logit<kAddend, kMask>(x, addend, mask, i);
    m = v > m ? v : m;
  }
#pragma omp simd reduction(max : m)
  for (int64_t i = 0; i < kWidth; ++i) m = rest[i] > m ? rest[i] : m;
  if (m == -kInfinity<T> && !any_live<kMask>(mask, seen)) {
    for (int64_t i = 0; i < n; ++i) y[i] = T(0);
    return;
  }
  // Exponentials and their sum in two loops: together they would be vectors of doubles, half as wide.
#pragma omp simd
  for (int64_t i = 0; i < whole; ++i) {
    T v = x[i];
    if constexpr (kAddend) v += addend[i];
    T e = Math::exp(v - m);
    if constexpr (kMask) e = mask[i] != 0 ? e : T(0);  // exactly 0, whatever the masked logit is
    y[i] = e;
  }
#pragma omp simd
  for (int64_t i = 0; i < kWidth; ++i) rest[i] = Math::exp(rest[i] - m);
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < whole; ++i) sum += static_cast<double>(y[i]);
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < kWidth; ++i) sum += static_cast<double>(rest[i]);
  const T scale = static_cast<T>(1.0 / sum);
#pragma omp simd
  for (int64_t i = 0; i < whole; ++i) y[i] *= scale;
  for (int64_t i = whole; i < seen; ++i) y[i] = rest[i - whole] * scale;
  for (int64_t i = seen; i < n; ++i) y[i] = T(0);
}

template <typename T>
void softmax(const T* x, const T* addend, const int32_t* mask, T* y, int64_t n, int64_t seen) {
  if (addend != nullptr && mask != nullptr) return softmax_row<true, true>(x, addend, mask, y, n, seen);
  if (addend != nullptr) return softmax_row<true, false>(x, addend, mask, y, n, seen);
  if (mask != nullptr) return softmax_row<false, true>(x, addend, mask, y, n, seen);
  softmax_row<false, false>(x, addend, mask, y, n, seen);
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
double log_sum_exp(Compute<T>* logits, int64_t n, Compute<T>* maximum, double* sum) {
  Compute<T> m = *maximum;
#pragma omp simd reduction(max : m)
  for (int64_t i = 0; i < n; ++i) m = logits[i] > m ? logits[i] : m;
  double total = 0, s = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < n; ++i) total += static_cast<double>(logits[i]);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) logits[i] = Math::exp(logits[i] - m);
#pragma omp simd reduction(+ : s)
  for (int64_t i = 0; i < n; ++i) s += static_cast<double>(logits[i]);
  const double before = *sum == 0 ? 0 : *sum * static_cast<double>(Math::exp(static_cast<double>(*maximum - m)));
  *sum = before + s;
  *maximum = m;
  return total;
}

template <typename T>
void cross_entropy_gradient(const Compute<T>* logits, T* d, int64_t n, Compute<T> log_z, Compute<T> d_log_z,
                            Compute<T> d_mean) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) store(d[i], d_log_z * Math::exp(logits[i] - log_z) + d_mean);
}

}  // namespace

template <typename T>
void add_softmax(Loops<T>& loops) {
  if constexpr (sizeof(T) >= 4) {
    loops.softmax = softmax<T>;
    loops.softmax_gradient = softmax_gradient<T>;
  }
  loops.log_sum_exp = log_sum_exp<T>;
  loops.cross_entropy_gradient = cross_entropy_gradient<T>;
}
template void add_softmax(Loops<float>&);
template void add_softmax(Loops<double>&);
template void add_softmax(Loops<BFloat16>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
