// Loops of the functions of one element.
#include "core/kernels/cpu/loops/families.h"
#include "core/kernels/cpu/loops/math.h"
#include "core/ops/functors.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

template <typename F, typename T>
void unary(const T* x, T* y, int64_t n, Compute<T> scale, Compute<T> shift) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) store(y[i], F::value(load(x[i]), scale, shift));
}

template <typename F, typename T>
void unary_gradient(const T* saved, const T* dy, T* dx, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) store(dx[i], load(dy[i]) * F::derivative(load(saved[i])));
}

template <typename F, typename T>
void binary(const T* a, int64_t a_stride, const T* b, int64_t b_stride, T* y, int64_t n) {
  if (a_stride == 1 && b_stride == 1) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) store(y[i], F::value(load(a[i]), load(b[i])));
  } else if (a_stride == 1 && b_stride == 0) {
    const Compute<T> scalar = load(*b);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) store(y[i], F::value(load(a[i]), scalar));
  } else if (a_stride == 0 && b_stride == 1) {
    const Compute<T> scalar = load(*a);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) store(y[i], F::value(scalar, load(b[i])));
  } else {
    for (int64_t i = 0; i < n; ++i) store(y[i], F::value(load(a[i * a_stride]), load(b[i * b_stride])));
  }
}

template <typename T>
void multiply_by(const T* x, const Compute<T>* factor, int64_t stride, T* y, int64_t n) {
  if (stride == 1) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) store(y[i], load(x[i]) * factor[i]);
  } else if (stride == 0) {
    const Compute<T> all = *factor;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) store(y[i], load(x[i]) * all);
  } else {
    for (int64_t i = 0; i < n; ++i) store(y[i], load(x[i]) * factor[i * stride]);
  }
}

template <typename T>
void load_all(const T* x, Compute<T>* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = load(x[i]);
}

template <typename T>
void store_all(const Compute<T>* x, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) store(y[i], x[i]);
}

template <typename T>
struct AddUnary {
  Loops<T>& loops;
  int& i;
  template <typename F>
  void operator()() {
    loops.unary[i] = unary<F, T>;
    loops.unary_gradient[i++] = unary_gradient<F, T>;
  }
};

template <typename T>
struct AddBinary {
  Loops<T>& loops;
  int& i;
  template <typename F>
  void operator()() {
    loops.binary[i++] = binary<F, T>;
  }
};

}  // namespace

template <typename T>
void add_elementwise(Loops<T>& loops) {
  int i = 0;
  functors::each_unary<Math>(AddUnary<T>{loops, i});
  i = 0;
  functors::each_binary<Math>(AddBinary<T>{loops, i});
  loops.multiply_by = multiply_by<T>;
  loops.load = load_all<T>;
  loops.store = store_all<T>;
}
template void add_elementwise(Loops<float>&);
template void add_elementwise(Loops<double>&);
template void add_elementwise(Loops<BFloat16>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
