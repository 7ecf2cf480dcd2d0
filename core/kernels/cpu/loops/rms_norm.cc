// Rows of root-mean-square normalisation and the elements of an AdamW step.
#include "core/kernels/cpu/loops/families.h"
#include "core/kernels/cpu/loops/lanes.h"
#include "core/kernels/cpu/loops/math.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

constexpr int64_t kSumRun = 1024;  // elements summed in vectors, before these go to a sum in double
// Rows whose part of dscale is added up before it goes to the sums in double. (Of wider elements two rows are more than
// the fastest cache has room for beside the sums.)
template <typename T>
constexpr int64_t kTogether = sizeof(T) == 2 ? 4 : 1;

// What lies `ahead` elements further, to be read soon: memory would else wait for the loops and they for memory.
template <typename T>
inline void fetch(const T* x, int64_t ahead) {
  __builtin_prefetch(
      reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(x) + static_cast<uintptr_t>(ahead) * sizeof(T)), 0, 2);
}

// visit(at, load, store) for each vector of [begin, end): its first element, and how what is inside is read and
// written.
template <typename C, typename Visit>
inline void each_vector(int64_t begin, int64_t end, const Visit& visit) {
  constexpr int64_t kCount = Lanes<C>::kCount;
  int64_t at = begin;
  for (; at + kCount <= end; at += kCount)
    visit(
        at, [](const auto* x) { return Lanes<C>::load(x); }, [](auto v, auto* x) { Lanes<C>::store(v, x); });
  if (at == end) return;
  const int64_t n = end - at;
  visit(
      at, [n](const auto* x) { return Lanes<C>::load(x, n); }, [n](auto v, auto* x) { Lanes<C>::store(v, x, n); });
}

// What is stored of it, which does not become one operation with what takes it.
template <typename T, typename V>
inline V rounded(V v) {
  if constexpr (sizeof(T) >= 4)
#if defined(__clang__)
    return v;  // it does not look beyond an expression
#else
    return __builtin_assoc_barrier(v);
#endif
  else
    return (V)(rounded_bits(v) & 0xFFFF0000u);
}

template <bool kResidual, typename T>
inline Compute<T> norm_of_row(const T* x, const T* added, T* sum, const Compute<T>* scale, T* y, int64_t n,
                              double epsilon) {
  using C = Compute<T>;
  double squares = 0;
  for (int64_t from = 0; from < n; from += kSumRun) {
    typename Lanes<C>::Vector part = {};
    each_vector<C>(from, n - from < kSumRun ? n : from + kSumRun, [&](int64_t at, auto load, auto store) {
      auto v = load(x + at);
      if constexpr (kResidual) {
        v = rounded<T>(v + load(added + at));
        store(v, sum + at);
      }
      part += v * v;
    });
    squares += Lanes<C>::sum(part);
  }
  const T* of = kResidual ? sum : x;
  if (sizeof(C) == 4 && squares > 1e38) {  // more than float32 holds, or nearly
    squares = 0;
    for (int64_t i = 0; i < n; ++i) squares += static_cast<double>(load(of[i])) * static_cast<double>(load(of[i]));
  }
  const C r = static_cast<C>(1.0 / Math::sqrt(squares / static_cast<double>(n) + epsilon));
  each_vector<C>(0, n, [&](int64_t at, auto load, auto store) { store(load(of + at) * r * load(scale + at), y + at); });
  return r;
}

template <typename T>
Compute<T> rms_norm(const T* x, const T* added, T* sum, const Compute<T>* scale, T* y, int64_t n, double epsilon) {
  return added == nullptr ? norm_of_row<false>(x, added, sum, scale, y, n, epsilon)
                          : norm_of_row<true>(x, added, sum, scale, y, n, epsilon);
}

template <int64_t kRows, bool kBase, typename T>
inline void gradient_of_rows(const T* x, const Compute<T>* scale, const Compute<T>* r, const T* dy, const T* base,
                             T* dx, double* dscale, int64_t n) {
  using C = Compute<T>;
  using L = Lanes<C>;
  double sums[kRows] = {};
  for (int64_t from = 0; from < n; from += kSumRun) {
    typename L::Vector parts[kRows] = {};
    const auto column = [&](int64_t at, auto load, auto) {
      const auto of_scale = load(scale + at);
      typename L::Vector down = {};
#pragma GCC unroll 4
      for (int64_t row = 0; row < kRows; ++row) {
        const auto product = load(x + row * n + at) * load(dy + row * n + at);
        parts[row] += product * of_scale;
        down += product * r[row];
      }
      return down;
    };
    const int64_t end = n - from < kSumRun ? n : from + kSumRun;
    each_vector<C>(from, end, [&](int64_t at, auto load, auto store) {
      const auto down = column(at, load, store);
      if (at + L::kCount <= end) return add_lanes(dscale + at, down);
      for (int64_t i = 0; i < end - at; ++i) dscale[at + i] += static_cast<double>(down[i]);
    });
    for (int64_t row = 0; row < kRows; ++row) sums[row] += L::sum(parts[row]);
  }
  for (int64_t row = 0; row < kRows; ++row) {
    const C of_r = r[row], shift = of_r * of_r * static_cast<C>(sums[row] / static_cast<double>(n));
    const int64_t begin = row * n;
    each_vector<C>(0, n, [&](int64_t at, auto load, auto store) {
      fetch(x + begin + at, kRows * n);
      fetch(dy + begin + at, kRows * n);
      if constexpr (kBase) fetch(base + begin + at, n);
      auto d = of_r * (load(dy + begin + at) * load(scale + at) - load(x + begin + at) * shift);
      if constexpr (kBase) d = load(base + begin + at) + rounded<T>(d);
      store(d, dx + begin + at);
    });
  }
}

template <bool kBase, typename T>
void gradient_of_all(const T* x, const Compute<T>* scale, const Compute<T>* r, const T* dy, const T* base, T* dx,
                     double* dscale, int64_t rows, int64_t n) {
  constexpr int64_t kRows = kTogether<T>;
  for (; rows >= kRows; rows -= kRows, r += kRows) {
    gradient_of_rows<kRows, kBase>(x, scale, r, dy, base, dx, dscale, n);
    x += kRows * n, dy += kRows * n, base += kRows * n, dx += kRows * n;
  }
  for (; rows > 0; --rows, ++r) {
    gradient_of_rows<1, kBase>(x, scale, r, dy, base, dx, dscale, n);
    x += n, dy += n, base += n, dx += n;
  }
}

template <typename T>
void rms_norm_gradient(const T* x, const Compute<T>* scale, const Compute<T>* r, const T* dy, const T* base, T* dx,
                       double* dscale, int64_t rows, int64_t n) {
  if (base == nullptr)
    gradient_of_all<false>(x, scale, r, dy, dy, dx, dscale, rows, n);
  else
    gradient_of_all<true>(x, scale, r, dy, base, dx, dscale, rows, n);
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
