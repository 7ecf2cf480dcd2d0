// Sums (in double) and maxima of runs.
#include "core/kernels/cpu/loops/families.h"
#include "core/kernels/cpu/loops/math.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

template <typename T>
double sum(const T* x, int64_t n) {
  double s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t i = 0; i < n; ++i) s += static_cast<double>(load(x[i]));
  return s;
}

template <typename T>
double sum_squares(const T* x, int64_t n) {
  double s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t i = 0; i < n; ++i) s += static_cast<double>(load(x[i])) * static_cast<double>(load(x[i]));
  return s;
}

template <typename T>
Compute<T> maximum(const T* x, int64_t n) {
  Compute<T> m = -kInfinity<Compute<T>>;
  int64_t nans = 0;
#pragma omp simd reduction(max : m) reduction(+ : nans)
  for (int64_t i = 0; i < n; ++i) {
    const Compute<T> v = load(x[i]);
    m = v > m ? v : m;
    nans += v != v;
  }
  return nans > 0 ? static_cast<Compute<T>>(__builtin_nan("")) : m;
}

template <typename T>
void accumulate(const T* x, double* sums, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<double>(load(x[i]));
}

template <typename T>
void accumulate_squares(const T* x, double* sums, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<double>(load(x[i])) * static_cast<double>(load(x[i]));
}

template <typename T>
void accumulate_maximum(const T* x, double* maxima, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const double v = static_cast<double>(load(x[i]));
    maxima[i] = v > maxima[i] || v != v ? v : maxima[i];
  }
}

template <typename T>
double dot(const T* x, const T* y, int64_t n) {
  double s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t i = 0; i < n; ++i) s += static_cast<double>(load(x[i])) * static_cast<double>(load(y[i]));
  return s;
}

template <typename T>
void axpy(Compute<T> scale, const T* x, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) store(y[i], load(y[i]) + scale * load(x[i]));
}

template <typename T>
void add_to(Compute<T> scale, const T* x, Compute<T>* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] += scale * load(x[i]);
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
  loops.add_to = add_to<T>;
}
template void add_reductions(Loops<float>&);
template void add_reductions(Loops<double>&);
template void add_reductions(Loops<BFloat16>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
