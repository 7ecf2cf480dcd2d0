// Loops of the functions of one element.
#include "core/kernels/cpu/loops/families.h"
#include "core/kernels/cpu/loops/math.h"
#include "core/ops/functors.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

template <typename F, typename T>
void unary(const T* x, T* y, int64_t n, T scale, T shift) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = F::value(x[i], scale, shift);
}

template <typename F, typename T>
void unary_gradient(const T* saved, const T* dy, T* dx, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * F::derivative(saved[i]);
}

template <typename F, typename T>
void binary(const T* a, int64_t a_stride, const T* b, int64_t b_stride, T* y, int64_t n) {
  if (a_stride == 1 && b_stride == 1) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = F::value(a[i], b[i]);
  } else if (a_stride == 1 && b_stride == 0) {
    const T scalar = *b;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = F::value(a[i], scalar);
  } else if (a_stride == 0 && b_stride == 1) {
    const T scalar = *a;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = F::value(scalar, b[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = F::value(a[i * a_stride], b[i * b_stride]);
  }
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
}
template void add_elementwise(Loops<float>&);
template void add_elementwise(Loops<double>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
