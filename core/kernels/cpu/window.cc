// Windows along a dim: moving their elements and adding them up.
#include "core/ops/window.h"

#include <algorithm>
#include <vector>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"

namespace synthesizer {
namespace {

// x as [outer, length, inner].
struct Rows {
  Rows(const Shape& x, const std::string& dim, int64_t window_size, int64_t before_size)
      : length(x.size(dim)), inner(x.strides()[x.index(dim)]), window(window_size), before(before_size) {
    count = x.elements() / inner;
  }
  int64_t length, inner, window, before;
  int64_t count;  // of outer and length together
};

template <typename T>
class UnfoldKernel : public Kernel {
 public:
  explicit UnfoldKernel(const KernelCase& c)
      : threads_(c.context.threads),
        x_(c.in(0), c.as<Unfold>().dim(), c.as<Unfold>().window().size, c.as<Unfold>().before()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T* x = input<T>(inputs, 0);
    T* y = output<T>(outputs, 0);
    parallel_ranges(threads_, x_.count, x_.window * x_.inner, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t l = row % x_.length;
        // The places of the window that lie inside: neighbours, so one copy.
        const int64_t from = std::max<int64_t>(x_.before - l, 0);
        const int64_t to = std::min(x_.window, x_.length + x_.before - l);
        T* out = y + row * x_.window * x_.inner;
        std::fill(out, out + from * x_.inner, T{});
        std::copy_n(x + (row + from - x_.before) * x_.inner, (to - from) * x_.inner, out + from * x_.inner);
        std::fill(out + to * x_.inner, out + x_.window * x_.inner, T{});
      }
    });
  }

 private:
  int threads_;
  Rows x_;
};

template <typename T>
class FoldKernel : public Kernel {
 public:
  explicit FoldKernel(const KernelCase& c)
      : threads_(c.context.threads),
        x_(c.out(0), c.as<Fold>().dim(), c.as<Fold>().window().size, c.as<Fold>().before()),
        axpy_(c.context.loops.of<T>().axpy) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T* y = input<T>(inputs, 0);
    T* x = output<T>(outputs, 0);
    parallel_ranges(threads_, x_.count, x_.window * x_.inner, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t l = row % x_.length;
        T* out = x + row * x_.inner;
        std::fill(out, out + x_.inner, T{});
        for (int64_t w = 0; w < x_.window; ++w) {
          const int64_t from = l - w + x_.before;
          if (from < 0 || from >= x_.length) continue;
          axpy_(Compute<T>(1), y + ((row - l + from) * x_.window + w) * x_.inner, out, x_.inner);
        }
      }
    });
  }

 private:
  int threads_;
  Rows x_;
  decltype(Loops<T>::axpy) axpy_;
};

}  // namespace

std::span<const KernelEntry> window_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Unfold), make_by_output<UnfoldKernel>, nullptr},
                                         {&typeid(Fold), make_by_output<FoldKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer
