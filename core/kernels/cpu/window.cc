// Windows along a dim: moving their elements, adding them up, and depthwise convolution, in which a row of one head is
// a product of a window's weights with neighbouring rows.
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
        std::fill(out, out + from * x_.inner, T(0));
        std::copy_n(x + (row + from - x_.before) * x_.inner, (to - from) * x_.inner, out + from * x_.inner);
        std::fill(out + to * x_.inner, out + x_.window * x_.inner, T(0));
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
        std::fill(out, out + x_.inner, T(0));
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

// u as [rows, heads, head] with rows = batch · length; where position l finds its window's weights.
struct Convolution {
  Convolution(const Shape& u, const Shape& weights, int64_t before_size) : before(before_size) {
    const std::vector<Dim>& dims = u.dims();
    length = dims[1].size;
    rows = dims[0].size * length;
    heads = dims[2].size;
    head = dims[3].size;
    window = weights.dims().back().size;
    own = weights.rank() == 4;
  }
  const auto* at(const auto* weights, int64_t row) const { return own ? weights + row * heads * window : weights; }
  // The places w in [from, to) of a window at l whose l + w - before is inside.
  int64_t from(int64_t l) const { return std::max<int64_t>(before - l, 0); }
  int64_t to(int64_t l) const { return std::min(window, length + before - l); }

  int64_t length, rows, heads, head, window, before;
  bool own;  // each position has weights of its own
};

template <typename T>
class WindowKernel : public Kernel {
 public:
  explicit WindowKernel(const KernelCase& c)
      : threads_(c.context.threads), c_(c.in(0), c.in(1), c.as<Window>().before()), loops_(c.context.loops.of<T>()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T* u = input<T>(inputs, 0);
    const T* weights = input<T>(inputs, 1);
    T* y = output<T>(outputs, 0);
    const int64_t width = c_.heads * c_.head;
    parallel_ranges(threads_, c_.rows, c_.window * width, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t l = row % c_.length, from = c_.from(l), places = c_.to(l) - from;
        const T* seen = u + (row + from - c_.before) * width;
        const T* own = c_.at(weights, row) + from;
        T* out = y + row * width;
        if (c_.head == 1) {  // a channel a head: all heads at once
          loops_.multiply(seen, 1, width, own, c_.window, 1, out, 1, c_.heads, places, false);
          continue;
        }
        for (int64_t h = 0; h < c_.heads; ++h)
          loops_.small_product({1, c_.head, places, 0, 1, width, 1, 0, 1}, own + h * c_.window, seen + h * c_.head,
                               out + h * c_.head, false);
      }
    });
  }

 private:
  int threads_;
  Convolution c_;
  Loops<T> loops_;
};

constexpr int64_t kGroups = 32;  // of rows, each with its own sums for weights that all positions share

int64_t gradient_workspace(const KernelCase& c) { return c.in(1).rank() == 4 ? 0 : kGroups * c.in(1).elements() * 8; }

template <typename T>
class WindowGradientKernel : public Kernel {
 public:
  explicit WindowGradientKernel(const KernelCase& c)
      : threads_(c.context.threads),
        c_(c.in(0), c.in(1), c.as<WindowGradient>().before()),
        loops_(c.context.loops.of<T>()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T* u = input<T>(inputs, 0);
    const T* dy = input<T>(inputs, 2);
    to_input(input<T>(inputs, 1), dy, output<T>(outputs, 0));
    if (c_.own)
      to_own_weights(u, dy, output<T>(outputs, 1));
    else
      to_shared_weights(u, dy, output<T>(outputs, 1), static_cast<double*>(workspace));
  }

 private:
  // Row r is seen at place w by row r - w + before, which lies inside for w in (r's l + before - length, l + before].
  void to_input(const T* weights, const T* dy, T* du) const {
    const int64_t width = c_.heads * c_.head;
    const int64_t along = c_.own ? 1 - c_.heads * c_.window : 1;  // from one place's weight to the next place's
    parallel_ranges(threads_, c_.rows, c_.window * width, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t l = row % c_.length;
        const int64_t from = std::max<int64_t>(l + c_.before - c_.length + 1, 0);
        const int64_t places = std::min(c_.window, l + c_.before + 1) - from;
        const int64_t first = row - from + c_.before;  // the row that sees this one at place `from`
        const T* own = c_.at(weights, first) + from;
        T* out = du + row * width;
        if (c_.head == 1) {
          loops_.multiply(dy + first * width, 1, -width, own, c_.window, along, out, 1, c_.heads, places, false);
          continue;
        }
        for (int64_t h = 0; h < c_.heads; ++h)
          loops_.small_product({1, c_.head, places, 0, along, -width, 1, 0, 1}, own + h * c_.window,
                               dy + first * width + h * c_.head, out + h * c_.head, false);
      }
    });
  }

  void to_own_weights(const T* u, const T* dy, T* dweights) const {
    const int64_t width = c_.heads * c_.head;
    parallel_ranges(threads_, c_.rows, c_.window * width, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t l = row % c_.length, from = c_.from(l), places = c_.to(l) - from;
        const T* seen = u + (row + from - c_.before) * width;
        T* out = dweights + row * c_.heads * c_.window;
        std::fill(out, out + c_.heads * c_.window, T(0));
        for (int64_t h = 0; h < c_.heads; ++h)
          loops_.small_product({1, places, c_.head, 0, 1, 1, width, 0, 1}, dy + row * width + h * c_.head,
                               seen + h * c_.head, out + h * c_.window + from, false);
      }
    });
  }

  void to_shared_weights(const T* u, const T* dy, T* dweights, double* sums) const {
    const int64_t width = c_.heads * c_.head, elements = c_.heads * c_.window;
    parallel_ranges(threads_, kGroups, c_.rows * c_.window * width / kGroups, [&](int64_t begin, int64_t end) {
      for (int64_t group = begin; group < end; ++group) {
        double* of_group = sums + group * elements;  // [heads, window]
        std::fill_n(of_group, elements, 0.0);
        for (int64_t row = c_.rows * group / kGroups; row < c_.rows * (group + 1) / kGroups; ++row) {
          const int64_t l = row % c_.length;
          for (int64_t w = c_.from(l); w < c_.to(l); ++w)
            for (int64_t h = 0; h < c_.heads; ++h)
              of_group[h * c_.window + w] +=
                  loops_.dot(dy + row * width + h * c_.head, u + (row + w - c_.before) * width + h * c_.head, c_.head);
        }
      }
    });
    for (int64_t i = 0; i < elements; ++i) {
      double sum = 0;
      for (int64_t group = 0; group < kGroups; ++group) sum += sums[group * elements + i];
      const auto result = static_cast<Compute<T>>(sum);
      loops_.store(&result, dweights + i, 1);
    }
  }

  int threads_;
  Convolution c_;
  Loops<T> loops_;
};

}  // namespace

std::span<const KernelEntry> window_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(Unfold), make_by_output<UnfoldKernel>, nullptr},
      {&typeid(Fold), make_by_output<FoldKernel>, nullptr},
      {&typeid(Window), make_by_output<WindowKernel>, nullptr},
      {&typeid(WindowGradient), make_by_output<WindowGradientKernel>, gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer
