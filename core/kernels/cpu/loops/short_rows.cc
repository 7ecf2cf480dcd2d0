// Softmax and its gradient of rows shorter than a vector or two: several rows at once, each in a lane of its own, so
// that no sum goes across lanes and nothing is padded. A row's result does not depend on which rows are beside it.
#include "core/kernels/cpu/loops/families.h"
#include "core/kernels/cpu/loops/math.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

constexpr int64_t kTogether = 16;  // rows

// [n, kTogether] from rows as they lie; lanes without a row are 0.
template <typename T>
void to_lanes(const T* x, int64_t rows, int64_t n, T* lanes) {
  if (rows < kTogether)
    for (int64_t i = 0; i < n * kTogether; ++i) lanes[i] = T{};
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < n; ++j) lanes[j * kTogether + r] = x[r * n + j];
}
template <typename T>
void from_lanes(const T* lanes, int64_t rows, int64_t n, T* y) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < n; ++j) y[r * n + j] = lanes[j * kTogether + r];
}

template <typename T>
void softmax_together(const T* x, T* y, int64_t rows, int64_t n) {
  using C = Compute<T>;
  T lanes[kShortRow * kTogether];
  C scores[kShortRow * kTogether], most[kTogether], scale[kTogether];
  double sums[kTogether];
  to_lanes(x, rows, n, lanes);
  for (int64_t r = 0; r < kTogether; ++r) most[r] = -kInfinity<C>;
  for (int64_t j = 0; j < n; ++j) {
#pragma omp simd
    for (int64_t r = 0; r < kTogether; ++r) {
      const C v = load(lanes[j * kTogether + r]);
      scores[j * kTogether + r] = v;
      most[r] = v > most[r] ? v : most[r];
    }
  }
  for (int64_t r = 0; r < kTogether; ++r) sums[r] = 0;
  for (int64_t j = 0; j < n; ++j) {
    C* of = scores + j * kTogether;
#pragma omp simd
    for (int64_t r = 0; r < kTogether; ++r) of[r] = Math::exp(of[r] - most[r]);
#pragma omp simd
    for (int64_t r = 0; r < kTogether; ++r) sums[r] += static_cast<double>(of[r]);
  }
#pragma omp simd
  for (int64_t r = 0; r < kTogether; ++r) scale[r] = static_cast<C>(1.0 / sums[r]);
  for (int64_t j = 0; j < n; ++j) {
#pragma omp simd
    for (int64_t r = 0; r < kTogether; ++r) store(lanes[j * kTogether + r], scores[j * kTogether + r] * scale[r]);
  }
  from_lanes(lanes, rows, n, y);
}

template <typename T>
void softmax_gradient_together(const T* y, const T* dy, T* dx, int64_t rows, int64_t n) {
  using C = Compute<T>;
  T weights[kShortRow * kTogether], lanes[kShortRow * kTogether];
  double sums[kTogether];
  C mean[kTogether];
  to_lanes(y, rows, n, weights);
  to_lanes(dy, rows, n, lanes);
  for (int64_t r = 0; r < kTogether; ++r) sums[r] = 0;
  for (int64_t j = 0; j < n; ++j) {
#pragma omp simd
    for (int64_t r = 0; r < kTogether; ++r)
      sums[r] += static_cast<double>(load(weights[j * kTogether + r]) * load(lanes[j * kTogether + r]));
  }
#pragma omp simd
  for (int64_t r = 0; r < kTogether; ++r) mean[r] = static_cast<C>(sums[r]);
  for (int64_t j = 0; j < n; ++j) {
#pragma omp simd
    for (int64_t r = 0; r < kTogether; ++r) {
      const int64_t i = j * kTogether + r;
      store(lanes[i], load(weights[i]) * (load(lanes[i]) - mean[r]));
    }
  }
  from_lanes(lanes, rows, n, dx);
}

template <typename T>
void softmax_rows(const T* x, T* y, int64_t rows, int64_t n) {
  for (; rows > 0; rows -= kTogether, x += kTogether * n, y += kTogether * n)
    softmax_together(x, y, rows < kTogether ? rows : kTogether, n);
}

template <typename T>
void softmax_gradient_rows(const T* y, const T* dy, T* dx, int64_t rows, int64_t n) {
  for (; rows > 0; rows -= kTogether, y += kTogether * n, dy += kTogether * n, dx += kTogether * n)
    softmax_gradient_together(y, dy, dx, rows < kTogether ? rows : kTogether, n);
}

}  // namespace

template <typename T>
void add_short_rows(Loops<T>& loops) {
  loops.softmax_rows = softmax_rows<T>;
  loops.softmax_gradient_rows = softmax_gradient_rows<T>;
}
template void add_short_rows(Loops<float>&);
template void add_short_rows(Loops<double>&);
template void add_short_rows(Loops<BFloat16>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
