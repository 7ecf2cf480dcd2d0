// Depthwise convolution, row by row: all heads of a position at once, so that every tensor is read as it lies. Rows
// that are stored in less than is calculated in are loaded once for all windows that see them.
#include <algorithm>
#include <type_traits>
#include <vector>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/ops/window.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

constexpr int64_t kGroups = 32;  // of rows, each with its own sums for weights that all positions share
constexpr int64_t kRun = 16;     // rows whose part of these sums is added up in vectors

// u as [rows, heads, head] with rows = batch · length; where position l finds its window's weights.
struct Convolution {
  Convolution(const Shape& u, const Shape& weights, int64_t before_size) : before(before_size) {
    const std::vector<Dim>& dims = u.dims();
    length = dims[1].size;
    rows = dims[0].size * length;
    of = {dims[2].size, dims[3].size, weights.dims().back().size};
    own = weights.rank() == 4;
  }
  int64_t width() const { return of.heads * of.head; }
  int64_t weights() const { return of.heads * of.window; }  // of one position

  int64_t length, rows, before;
  WindowHeads of;
  bool own;  // each position has weights of its own
};

// A thread's space: the places of a window; rows and weights as they are loaded, where they are not read as they lie;
// one row of dy or y; partial sums of the weights' gradient in vectors, and these.
class ThreadSpace {
 public:
  ThreadSpace(const Convolution& c, DType dtype, bool gradient) : wide_(size_of(compute_type(dtype))) {
    const bool loads = dtype != compute_type(dtype);
    add(c.of.window * static_cast<int64_t>(sizeof(WindowPlace<double>)), 1);
    add(loads ? c.of.window * c.width() : 0, wide_);
    add(loads ? (c.own && gradient ? c.of.window : 1) * c.weights() : 0, wide_);
    add(loads ? c.width() : 0, wide_);
    add(gradient ? c.weights() * kMostLanes : 0, wide_);
    add(gradient ? c.weights() : 0, wide_);
  }
  enum Part { kPlaces, kRows, kWeights, kRow, kLanes, kSums };
  int64_t bytes() const { return bytes_; }
  template <typename E>
  E* at(void* workspace, Part part) const {
    return reinterpret_cast<E*>(static_cast<std::byte*>(workspace) + omp_get_thread_num() * bytes_ + begin_[part]);
  }

 private:
  void add(int64_t count, int64_t size) {
    begin_[parts_++] = bytes_;
    bytes_ += align_up(count * size);
  }
  int64_t wide_, bytes_ = 0;
  int64_t begin_[6];
  int parts_ = 0;
};

// Rows as they are calculated with: themselves, or the last few of them, loaded.
template <typename T>
class WideRows {
 public:
  using C = Compute<T>;
  WideRows(const Loops<T>& loops, const T* x, int64_t width, int64_t slots, C* space)
      : load_(loops.load), x_(x), width_(width), slots_(slots), space_(space) {}

  // Makes rows [from, to) ready, at most as many as there are slots. Neither end ever goes back. Rows to come are
  // fetched, since memory would else wait for the windows and they for memory.
  void see(int64_t from, int64_t to) {
    for (int64_t r = std::max(from, seen_); r < to; ++r) {
      const auto ahead = reinterpret_cast<uintptr_t>(x_ + (r + kAhead) * width_);
      for (int64_t at = 0; at < width_ * static_cast<int64_t>(sizeof(T)); at += 64)
        __builtin_prefetch(reinterpret_cast<const void*>(ahead + static_cast<uintptr_t>(at)), 0, 2);
      if constexpr (!std::is_same_v<T, C>) load_(x_ + r * width_, space_ + r % slots_ * width_, width_);
    }
    seen_ = to;
  }
  const C* operator[](int64_t row) const {
    if constexpr (std::is_same_v<T, C>)
      return x_ + row * width_;
    else
      return space_ + row % slots_ * width_;
  }

 private:
  static constexpr int64_t kAhead = 4;
  decltype(Loops<T>::load) load_;
  const T* x_;
  int64_t width_, slots_, seen_ = 0;
  C* space_;
};

template <typename T>
class Depthwise {
 public:
  using C = Compute<T>;

  Depthwise(const CpuContext& context, const Convolution& c, const ThreadSpace& space)
      : c_(c), space_(space), loops_(context.loops.of<T>()), wide_(context.loops.of<C>()) {}

  // y of rows [begin, end).
  void forward(const T* u, const T* weights, T* y, int64_t begin, int64_t end, void* workspace) const {
    WideRows<T> seen = rows(u, workspace), filters = filters_of(weights, 1, workspace);
    each_window(begin, end, [&](int64_t row, int64_t from, int64_t to) {
      const int64_t first = row - c_.before;  // what place 0 sees
      seen.see(first + from, first + to);
      see_filters(filters, row, row + 1);
      WindowPlace<C>* places = space_.at<WindowPlace<C>>(workspace, ThreadSpace::kPlaces);
      const C* filter = filters[c_.own ? row : 0];
      for (int64_t w = from; w < to; ++w) places[w - from] = {seen[first + w], filter + w};
      put_row(places, to - from, y + row * c_.width(), workspace);
    });
  }

  // du of these rows. Row r is seen at place w by row r - w + before.
  void to_input(const T* dy, const T* weights, T* du, int64_t begin, int64_t end, void* workspace) const {
    WideRows<T> seeing = rows(dy, workspace), filters = filters_of(weights, c_.of.window, workspace);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t l = row % c_.length, last = row + c_.before;  // who sees it at place 0
      const int64_t from = std::max<int64_t>(l + c_.before - c_.length + 1, 0);
      const int64_t to = std::min(c_.of.window, l + c_.before + 1);
      seeing.see(last - to + 1, last - from + 1);
      see_filters(filters, last - to + 1, last - from + 1);
      WindowPlace<C>* places = space_.at<WindowPlace<C>>(workspace, ThreadSpace::kPlaces);
      for (int64_t w = from; w < to; ++w) places[w - from] = {seeing[last - w], filters[c_.own ? last - w : 0] + w};
      put_row(places, to - from, du + row * c_.width(), workspace);
    }
  }

  // What these rows give to the weights: visit(row, lanes) with [heads, window] vectors of partial sums, of this row
  // or, with `add`, also of what was there.
  template <typename Visit>
  void to_weights(const T* u, const T* dy, int64_t begin, int64_t end, bool add, void* workspace,
                  const Visit& visit) const {
    WideRows<T> seen = rows(u, workspace), of_dy(loops_, dy, c_.width(), 1, space_.at<C>(workspace, ThreadSpace::kRow));
    C* lanes = space_.at<C>(workspace, ThreadSpace::kLanes);
    each_window(begin, end, [&](int64_t row, int64_t from, int64_t to) {
      const int64_t first = row - c_.before;
      seen.see(first + from, first + to);
      of_dy.see(row, row + 1);
      WindowPlace<C>* places = space_.at<WindowPlace<C>>(workspace, ThreadSpace::kPlaces);
      for (int64_t w = from; w < to; ++w) places[w - from] = {seen[first + w], nullptr};
      if (!add && to - from < c_.of.window) clear(lanes);
      wide_.window_dots(of_dy[row], places, to - from, c_.of, lanes + from * wide_.lanes, add);
      visit(row, lanes);
    });
  }

  void clear(C* lanes) const { std::fill_n(lanes, c_.weights() * wide_.lanes, C(0)); }

 private:
  WideRows<T> rows(const T* x, void* workspace) const {
    return {loops_, x, c_.width(), c_.of.window, space_.at<C>(workspace, ThreadSpace::kRows)};
  }
  WideRows<T> filters_of(const T* weights, int64_t slots, void* workspace) const {
    WideRows<T> filters(loops_, weights, c_.weights(), c_.own ? slots : 1,
                        space_.at<C>(workspace, ThreadSpace::kWeights));
    if (!c_.own) filters.see(0, 1);
    return filters;
  }
  void see_filters(WideRows<T>& filters, int64_t from, int64_t to) const {
    if (c_.own) filters.see(from, to);
  }

  // visit(row, from, to): the places of the row's window whose l + w - before is inside are [from, to).
  template <typename Visit>
  void each_window(int64_t begin, int64_t end, const Visit& visit) const {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t l = row % c_.length;
      visit(row, std::max<int64_t>(c_.before - l, 0), std::min(c_.of.window, c_.length + c_.before - l));
    }
  }

  void put_row(const WindowPlace<C>* places, int64_t n, T* y, void* workspace) const {
    if constexpr (std::is_same_v<T, C>) {
      wide_.window_row(places, n, c_.of, y);
    } else {
      C* row = space_.at<C>(workspace, ThreadSpace::kRow);
      wide_.window_row(places, n, c_.of, row);
      loops_.store(row, y, c_.width());
    }
  }

  Convolution c_;
  ThreadSpace space_;
  Loops<T> loops_;
  Loops<C> wide_;
};

Convolution forward_case(const KernelCase& c) { return {c.in(0), c.in(1), c.as<Window>().before()}; }
Convolution gradient_case(const KernelCase& c) { return {c.in(0), c.in(1), c.as<WindowGradient>().before()}; }

int64_t forward_workspace(const KernelCase& c) {
  return c.context.threads * ThreadSpace(forward_case(c), c.inputs[0].dtype, false).bytes();
}
int64_t group_sums(const Convolution& c) { return c.own ? 0 : align_up(kGroups * c.weights() * 8); }
int64_t gradient_workspace(const KernelCase& c) {
  const Convolution of = gradient_case(c);
  return group_sums(of) + c.context.threads * ThreadSpace(of, c.inputs[0].dtype, true).bytes();
}

template <typename T>
class WindowKernel : public Kernel {
 public:
  explicit WindowKernel(const KernelCase& c)
      : threads_(c.context.threads),
        c_(forward_case(c)),
        depthwise_(c.context, c_, ThreadSpace(c_, c.inputs[0].dtype, false)) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    parallel_ranges(threads_, c_.rows, c_.of.window * c_.width(), [&](int64_t begin, int64_t end) {
      depthwise_.forward(input<T>(inputs, 0), input<T>(inputs, 1), output<T>(outputs, 0), begin, end, workspace);
    });
  }

 private:
  int threads_;
  Convolution c_;
  Depthwise<T> depthwise_;
};

// A group of rows at a time, which stays in a cache while both gradients read it.
template <typename T>
class WindowGradientKernel : public Kernel {
 public:
  explicit WindowGradientKernel(const KernelCase& c)
      : threads_(c.context.threads),
        c_(gradient_case(c)),
        space_(c_, c.inputs[0].dtype, true),
        depthwise_(c.context, c_, space_),
        loops_(c.context.loops.of<T>()),
        wide_(c.context.loops.of<C>()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T *u = input<T>(inputs, 0), *weights = input<T>(inputs, 1), *dy = input<T>(inputs, 2);
    T *du = output<T>(outputs, 0), *dweights = output<T>(outputs, 1);
    double* sums = static_cast<double*>(workspace);  // [group, heads, window]
    void* own = static_cast<std::byte*>(workspace) + group_sums(c_);
    parallel_ranges(threads_, kGroups, c_.rows * c_.of.window * c_.width() / kGroups, [&](int64_t first, int64_t last) {
      for (int64_t group = first; group < last; ++group) {
        const int64_t begin = c_.rows * group / kGroups, end = c_.rows * (group + 1) / kGroups;
        depthwise_.to_input(dy, weights, du, begin, end, own);
        if (c_.own)
          to_own_weights(u, dy, dweights, begin, end, own);
        else
          to_shared_weights(u, dy, sums + group * c_.weights(), begin, end, own);
      }
    });
    if (!c_.own) combine(sums, dweights);
  }

 private:
  using C = Compute<T>;

  void to_own_weights(const T* u, const T* dy, T* dweights, int64_t begin, int64_t end, void* own) const {
    depthwise_.to_weights(u, dy, begin, end, false, own, [&](int64_t row, const C* lanes) {
      T* out = dweights + row * c_.weights();
      if constexpr (std::is_same_v<T, C>) {
        wide_.lane_sums(lanes, c_.weights(), out);
      } else {
        C* sums = space_.at<C>(own, ThreadSpace::kSums);
        wide_.lane_sums(lanes, c_.weights(), sums);
        loops_.store(sums, out, c_.weights());
      }
    });
  }

  void to_shared_weights(const T* u, const T* dy, double* of_group, int64_t begin, int64_t end, void* own) const {
    std::fill_n(of_group, c_.weights(), 0.0);
    C *lanes = space_.at<C>(own, ThreadSpace::kLanes), *sums = space_.at<C>(own, ThreadSpace::kSums);
    depthwise_.clear(lanes);
    depthwise_.to_weights(u, dy, begin, end, true, own, [&](int64_t row, const C*) {
      if ((row - begin) % kRun != kRun - 1 && row != end - 1) return;
      wide_.lane_sums(lanes, c_.weights(), sums);
      wide_.accumulate(sums, of_group, c_.weights());
      depthwise_.clear(lanes);
    });
  }

  void combine(const double* sums, T* dweights) const {
    for (int64_t i = 0; i < c_.weights(); ++i) {
      double sum = 0;
      for (int64_t group = 0; group < kGroups; ++group) sum += sums[group * c_.weights() + i];
      const C result = static_cast<C>(sum);
      loops_.store(&result, dweights + i, 1);
    }
  }

  int threads_;
  Convolution c_;
  ThreadSpace space_;
  Depthwise<T> depthwise_;
  Loops<T> loops_;
  Loops<C> wide_;
};

}  // namespace

std::span<const KernelEntry> depthwise_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(Window), make_by_output<WindowKernel>, forward_workspace},
      {&typeid(WindowGradient), make_by_output<WindowGradientKernel>, gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer
