// Products too small for a library call: a few dozen elements each, thousands of them.
#include "core/kernels/cpu/loops/families.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

constexpr int64_t kWidth = 64;  // columns held in registers

// Rows of C as sums of rows of B: C and B have unit stride along n.
template <typename T>
void by_rows(const SmallProduct& s, const T* a, const T* b, T* c, bool add) {
  Compute<T> sums[kWidth];
  for (int64_t n0 = 0; n0 < s.n; n0 += kWidth) {
    const int64_t width = s.n - n0 < kWidth ? s.n - n0 : kWidth;
    for (int64_t m = 0; m < s.m; ++m) {
      const T* row = a + m * s.a_m;
      T* out = c + m * s.c_m + n0;
      const Compute<T> first = load(row[0]);
      for (int64_t j = 0; j < width; ++j) sums[j] = first * load(b[n0 + j]);
      for (int64_t k = 1; k < s.k; ++k) {
        const Compute<T> scale = load(row[k * s.a_k]);
        const T* line = b + k * s.b_k + n0;
        for (int64_t j = 0; j < width; ++j) sums[j] += scale * load(line[j]);
      }
      if (add) {
        for (int64_t j = 0; j < width; ++j) store(out[j], load(out[j]) + sums[j]);
      } else {
        for (int64_t j = 0; j < width; ++j) store(out[j], sums[j]);
      }
    }
  }
}

// Each element a dot product: A and B have unit stride along k.
template <typename T>
void by_dots(const SmallProduct& s, const T* a, const T* b, T* c, bool add) {
  for (int64_t m = 0; m < s.m; ++m) {
    for (int64_t n = 0; n < s.n; ++n) {
      const T* x = a + m * s.a_m;
      const T* y = b + n * s.b_n;
      Compute<T> sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t k = 0; k < s.k; ++k) sum += load(x[k]) * load(y[k]);
      T* out = c + m * s.c_m + n * s.c_n;
      store(*out, add ? load(*out) + sum : sum);
    }
  }
}

template <typename T>
void by_elements(const SmallProduct& s, const T* a, const T* b, T* c, bool add) {
  for (int64_t m = 0; m < s.m; ++m) {
    for (int64_t n = 0; n < s.n; ++n) {
      Compute<T> sum = 0;
      for (int64_t k = 0; k < s.k; ++k) sum += load(a[m * s.a_m + k * s.a_k]) * load(b[k * s.b_k + n * s.b_n]);
      T* out = c + m * s.c_m + n * s.c_n;
      store(*out, add ? load(*out) + sum : sum);
    }
  }
}

template <typename T>
void small_product(const SmallProduct& s, const T* a, const T* b, T* c, bool add) {
  if (s.c_n == 1 && s.b_n == 1 && s.n > 1) return by_rows(s, a, b, c, add);
  if (s.c_m == 1 && s.a_m == 1 && s.m > 1)
    return by_rows({s.n, s.m, s.k, s.b_n, s.b_k, s.a_k, s.a_m, s.c_n, s.c_m}, b, a, c, add);
  if (s.a_k == 1 && s.b_k == 1) return by_dots(s, a, b, c, add);
  by_elements(s, a, b, c, add);
}

template <typename T>
void multiply(const T* a, int64_t a_stride, int64_t a_k, const T* b, int64_t b_stride, int64_t b_k, T* c,
              int64_t c_stride, int64_t n, int64_t k, bool add) {
  if (a_stride == 1 && b_stride == 1 && c_stride == 1 && k == 1) {
    if (add) {
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) store(c[i], load(c[i]) + load(a[i]) * load(b[i]));
    } else {
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) store(c[i], load(a[i]) * load(b[i]));
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    Compute<T> sum = 0;
    for (int64_t j = 0; j < k; ++j) sum += load(a[i * a_stride + j * a_k]) * load(b[i * b_stride + j * b_k]);
    T* out = c + i * c_stride;
    store(*out, add ? load(*out) + sum : sum);
  }
}

}  // namespace

template <typename T>
void add_products(Loops<T>& loops) {
  loops.small_product = small_product<T>;
  loops.multiply = multiply<T>;
}
template void add_products(Loops<float>&);
template void add_products(Loops<double>&);
template void add_products(Loops<BFloat16>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
