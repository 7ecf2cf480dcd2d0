// Rows of a block of attention's scores: the softmax of a row that is seen a block of keys at a time, and its gradient
// from the sum that was kept.
#include "core/kernels/cpu/loops/families.h"
#include "core/kernels/cpu/loops/math.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

constexpr int64_t kWidth = 16;  // what is left of a row is padded to this, so that it is vector code too

// The value that counts at key i, or −∞ where the key is masked.
template <bool kAddend, bool kMask, typename T>
inline T logit(const T* x, const T* addend, const int32_t* mask, int64_t i) {
  T v = x[i];
  if constexpr (kAddend) v += addend[i];
  if constexpr (kMask) v = mask[i] != 0 ? v : -kInfinity<T>;
  return v;
}

template <bool kAddend, bool kMask, typename T>
T block_row(T* x, const T* addend, const int32_t* mask, int64_t n, int64_t seen, T* maximum, double* sum) {
  const int64_t whole = seen / kWidth * kWidth;
  T rest[kWidth];
  for (int64_t i = 0; i < kWidth; ++i)
    rest[i] = whole + i < seen ? logit<kAddend, kMask>(x, addend, mask, whole + i) : -kInfinity<T>;
  T m = *maximum;
#pragma omp simd reduction(max : m)
  for (int64_t i = 0; i < whole; ++i) {
    const T v = logit<kAddend, kMask>(x, addend, mask, i);
    m = v > m ? v : m;
  }
#pragma omp simd reduction(max : m)
  for (int64_t i = 0; i < kWidth; ++i) m = rest[i] > m ? rest[i] : m;
  const T base = m == -kInfinity<T> ? T(0) : m;  // of no keys so far: their exponentials are 0, unless one is NaN
  // Exponentials and their sum in two loops: together they would be vectors of doubles, half as wide.
#pragma omp simd
  for (int64_t i = 0; i < whole; ++i) {
    T v = x[i];
    if constexpr (kAddend) v += addend[i];
    T e = Math::exp(v - base);
    if constexpr (kMask) e = mask[i] != 0 ? e : T(0);  // exactly 0, whatever the masked logit is
    x[i] = e;
  }
#pragma omp simd
  for (int64_t i = 0; i < kWidth; ++i) rest[i] = Math::exp(rest[i] - base);
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < whole; ++i) total += static_cast<double>(x[i]);
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < kWidth; ++i) total += static_cast<double>(rest[i]);
  for (int64_t i = whole; i < seen; ++i) x[i] = rest[i - whole];
  for (int64_t i = seen; i < n; ++i) x[i] = T(0);
  const T scale = m == *maximum ? T(1) : Math::exp(*maximum - base);
  *sum = *sum * static_cast<double>(scale) + total;
  *maximum = m;
  return scale;
}

template <typename T>
T attention_row(T* x, const T* addend, const int32_t* mask, int64_t n, int64_t seen, T* maximum, double* sum) {
  if (addend != nullptr && mask != nullptr) return block_row<true, true>(x, addend, mask, n, seen, maximum, sum);
  if (addend != nullptr) return block_row<true, false>(x, addend, mask, n, seen, maximum, sum);
  if (mask != nullptr) return block_row<false, true>(x, addend, mask, n, seen, maximum, sum);
  return block_row<false, false>(x, addend, mask, n, seen, maximum, sum);
}

template <bool kAddend, bool kMask, typename T>
double weights_row(T* x, const T* addend, const int32_t* mask, T log_sum, const T* dx, int64_t n, int64_t seen) {
  const int64_t vectors = (seen + kWidth - 1) / kWidth * kWidth, end = vectors < n ? vectors : n;
#pragma omp simd
  for (int64_t i = 0; i < end; ++i) {
    T v = x[i];
    if constexpr (kAddend) v += addend[i];
    T p = Math::exp(v - log_sum);
    if constexpr (kMask) p = mask[i] != 0 ? p : T(0);
    x[i] = p;
  }
  for (int64_t i = seen; i < n; ++i) x[i] = T(0);
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < seen; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(dx[i]);
  return sum;
}

template <typename T>
double attention_weights_row(T* x, const T* addend, const int32_t* mask, T log_sum, const T* dx, int64_t n,
                             int64_t seen) {
  if (addend != nullptr && mask != nullptr) return weights_row<true, true>(x, addend, mask, log_sum, dx, n, seen);
  if (addend != nullptr) return weights_row<true, false>(x, addend, mask, log_sum, dx, n, seen);
  if (mask != nullptr) return weights_row<false, true>(x, addend, mask, log_sum, dx, n, seen);
  return weights_row<false, false>(x, addend, mask, log_sum, dx, n, seen);
}

template <typename T>
void softmax_gradient_of_mean(const T* y, T* dx, T mean, int64_t n, int64_t seen) {
#pragma omp simd
  for (int64_t i = 0; i < seen; ++i) dx[i] = y[i] * (dx[i] - mean);
  for (int64_t i = seen; i < n; ++i) dx[i] = T(0);
}

}  // namespace

template <typename T>
void add_attention(Loops<T>& loops) {
  if constexpr (sizeof(T) >= 4) {  // scores are never stored in less
    loops.attention_row = attention_row<T>;
    loops.attention_weights_row = attention_weights_row<T>;
    loops.softmax_gradient_of_mean = softmax_gradient_of_mean<T>;
  }
}
template void add_attention(Loops<float>&);
template void add_attention(Loops<double>&);
template void add_attention(Loops<BFloat16>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
