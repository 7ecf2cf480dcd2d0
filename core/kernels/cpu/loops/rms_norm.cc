// Rows of root-mean-square normalisation and the elements of an AdamW step.
#include "core/kernels/cpu/loops/families.h"
#include "core/kernels/cpu/loops/math.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

template <typename T>
Compute<T> rms_norm(const T* x, const Compute<T>* scale, T* y, int64_t n, double epsilon) {
  double squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < n; ++i) squares += static_cast<double>(load(x[i])) * static_cast<double>(load(x[i]));
  const Compute<T> r = static_cast<Compute<T>>(1.0 / Math::sqrt(squares / static_cast<double>(n) + epsilon));
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) store(y[i], load(x[i]) * r * scale[i]);
  return r;
}

template <typename T>
void rms_norm_gradient(const T* x, const Compute<T>* scale, Compute<T> r, const T* dy, T* dx, double* dscale,
                       int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    const Compute<T> v = load(x[i]), d = load(dy[i]);
    sum += static_cast<double>(v * d * scale[i]);
    dscale[i] += static_cast<double>(v * r * d);
  }
  const Compute<T> mean = static_cast<Compute<T>>(sum / static_cast<double>(n));
  const Compute<T> shift = r * r * mean;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) store(dx[i], r * (load(dy[i]) * scale[i] - load(x[i]) * shift));
}

template <typename T>
void adamw(const AdamWStep& step, T* parameter, T* first, T* second, const T* gradient, int64_t n) {
  const T beta1 = static_cast<T>(step.beta1), beta2 = static_cast<T>(step.beta2);
  const T keep1 = static_cast<T>(1 - step.beta1), keep2 = static_cast<T>(1 - step.beta2);
  const T scale = static_cast<T>(step.scale), rate = static_cast<T>(step.learning_rate);
  const T correction1 = static_cast<T>(step.correction1), correction2 = static_cast<T>(step.correction2);
  const T epsilon = static_cast<T>(step.epsilon), decay = static_cast<T>(step.weight_decay);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T g = scale * gradient[i];
    const T m = beta1 * first[i] + keep1 * g;
    const T v = beta2 * second[i] + keep2 * g * g;
    first[i] = m;
    second[i] = v;
    parameter[i] -= rate * (m * correction1 / (Math::sqrt(v * correction2) + epsilon) + decay * parameter[i]);
  }
}

}  // namespace

template <typename T>
void add_rms_norm(Loops<T>& loops) {
  loops.rms_norm = rms_norm<T>;
  loops.rms_norm_gradient = rms_norm_gradient<T>;
  if constexpr (sizeof(T) >= 4) loops.adamw = adamw<T>;  // weights are never stored in less
}
template void add_rms_norm(Loops<float>&);
template void add_rms_norm(Loops<double>&);
template void add_rms_norm(Loops<BFloat16>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
