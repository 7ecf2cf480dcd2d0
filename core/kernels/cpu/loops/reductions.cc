// Sums (in double) and maxima of runs.
#include "core/kernels/cpu/loops/families.h"
#include "core/kernels/cpu/loops/math.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

template <typename T>
double sum(const T* x, int64_t n) {
  double s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t i = 0; i < n; ++i) s += static_cast<double>(x[i]);
  return s;
}

template <typename T>
double sum_squares(const T* x, int64_t n) {
  double s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t i = 0; i < n; ++i) s += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return s;
}

template <typename T>
T maximum(const T* x, int64_t n) {
  T m = -kInfinity<T>;
  int64_t nans = 0;
#pragma omp simd reduction(max : m) reduction(+ : nans)
  for (int64_t i = 0; i < n; ++i) {
    m = x[i] > m ? x[i] : m;
    nans += x[i] != x[i];
  }
  return nans > 0 ? static_cast<T>(__builtin_nan("")) : m;
}

template <typename T>
void accumulate(const T* x, double* sums, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<double>(x[i]);
}

template <typename T>
void accumulate_squares(const T* x, double* sums, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
}

template <typename T>
void accumulate_maximum(const T* x, double* maxima, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const double v = static_cast<double>(x[i]);
    maxima[i] = v > maxima[i] || v != v ? v : maxima[i];
  }
}

template <typename T>
double dot(const T* x, const T* y, int64_t n) {
  double s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t i = 0; i < n; ++i) s += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  return s;
}

template <typename T>
void axpy(T scale, const T* x, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] += scale * x[i];
}

}  // namespace

template <typename T>
void add_reductions(Loops<T>& loops) {
  loops.sum = sum<T>;
  loops.sum_squares = sum_squares<T>;
  loops.maximum = maximum<T>;
  loops.accumulate = accumulate<T>;
  loops.accumulate_squares = accumulate_squares<T>;
  loops.accumulate_maximum = accumulate_maximum<T>;
  loops.dot = dot<T>;
  loops.axpy = axpy<T>;
}
template void add_reductions(Loops<float>&);
template void add_reductions(Loops<double>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
