// Softmax and its gradient, row by row; rows that do not lie densely, or are not in the type that is calculated in, are
// gathered first. Short rows with nothing added or masked go several at once.
#include "core/ops/softmax.h"

#include <type_traits>
#include <vector>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/kernels/geometry.h"

namespace synthesizer {
namespace {

// The rows of a softmax: all dims of x but `over`, and where the causal query's index is found in a row's number.
struct Rows {
  explicit Rows(const SoftmaxOptions& options, const Shape& x) : length(x.size(options.over)) {
    int64_t inner = 1;
    for (size_t i = x.rank(); i-- > 0;) {
      const Dim& dim = x.dims()[i];
      if (dim.name == options.over) continue;
      dims.insert(dims.begin(), dim);
      if (options.causal && dim.name == options.query) {
        query_divisor = inner;
        query_size = dim.size;
      }
      inner *= dim.size;
    }
    count = inner;
    causal = options.causal;
  }
  // Whether they lie one after the other, for the loops of several short rows.
  bool go_together(int64_t stride) const { return !causal && stride == 1 && length <= kShortRow; }
  // How many keys row `row` may see.
  int64_t seen(int64_t row) const { return causal ? std::min(length, row / query_divisor % query_size + 1) : length; }

  std::vector<Dim> dims;
  int64_t length, count = 1, query_divisor = 1, query_size = 1;
  bool causal = false;
};

// Between rows as they lie and rows as they are calculated with.
template <typename T>
void gather(const Loops<T>& loops, const T* x, int64_t stride, int64_t n, Compute<T>* row) {
  if (stride == 1) return loops.load(x, row, n);
  for (int64_t i = 0; i < n; ++i) loops.load(x + i * stride, row + i, 1);
}
template <typename T>
void scatter(const Loops<T>& loops, const Compute<T>* row, int64_t stride, int64_t n, T* y) {
  if (stride == 1) return loops.store(row, y, n);
  for (int64_t i = 0; i < n; ++i) loops.store(row + i, y + i * stride, 1);
}

// A thread's rows: x (or y), addend (or dy), and the mask of the keys of one segment.
int64_t thread_bytes(int64_t length, int64_t element) {
  return (length * (2 * element + static_cast<int64_t>(sizeof(int32_t))) + 63) / 64 * 64;
}
int64_t workspace(const KernelCase& c, const std::string& over) {
  return c.context.threads * thread_bytes(c.out(0).size(over), size_of(compute_type(c.outputs[0].dtype)));
}
int64_t softmax_workspace(const KernelCase& c) { return workspace(c, c.as<Softmax>().options().over); }
int64_t gradient_workspace(const KernelCase& c) { return workspace(c, c.as<SoftmaxGradient>().options().over); }

template <typename T>
Compute<T>* thread_rows(void* workspace, int64_t length) {
  const int64_t bytes = thread_bytes(length, sizeof(Compute<T>));
  return reinterpret_cast<Compute<T>*>(static_cast<std::byte*>(workspace) + bytes * omp_get_thread_num());
}

template <typename T>
class SoftmaxKernel : public Kernel {
 public:
  explicit SoftmaxKernel(const KernelCase& c)
      : context_(c.context), options_(c.as<Softmax>().options()), rows_(options_, c.in(0)) {
    const Shape none;
    const Shape& addend = options_.addend ? c.in(1) : none;
    const Shape& mask = options_.key_mask ? c.in(options_.addend ? 2 : 1) : none;
    const Shape& segments = options_.segments ? c.in(c.inputs.size() - 1) : none;
    const Shape* shapes[4] = {&c.in(0), &addend, &mask, &segments};
    walk_ = Walk(rows_.dims, shapes);
    stride_ = stride_of(c.in(0), options_.over);
    addend_stride_ = stride_of(addend, options_.over);
    CHECK(!options_.key_mask || stride_of(mask, options_.over) == 1, "[softmax] key mask {}: expected {} last",
          mask.to_string(), options_.over);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T* x = input<T>(inputs, 0);
    const Compute<T>* addend = options_.addend ? input<Compute<T>>(inputs, 1) : nullptr;
    const int32_t* mask = options_.key_mask ? input<int32_t>(inputs, options_.addend ? 2 : 1) : nullptr;
    const int32_t* segments = options_.segments ? input<int32_t>(inputs, inputs.size() - 1) : nullptr;
    T* y = output<T>(outputs, 0);
    context_.count(&KernelCounters::softmax_runs, 1);
    context_.count(&KernelCounters::softmax_rows, rows_.count);
    if (rows_.go_together(stride_) && addend == nullptr && mask == nullptr) return together(x, y);
    parallel_ranges(context_.threads, rows_.count, 8 * rows_.length, [&](int64_t begin, int64_t end) {
      Compute<T>* buffer = thread_rows<T>(workspace, rows_.length);
      for (int64_t row = begin; row < end; ++row) {
        int64_t at[Walk::kTensors];
        walk_.offsets(row, at);
        const int32_t* keys = mask == nullptr ? nullptr : mask + at[2];
        if (segments != nullptr) keys = of_segment(keys, segments[at[3]], buffer);
        one(x + at[0], addend == nullptr ? nullptr : addend + at[1], keys, y + at[0], rows_.seen(row), buffer);
      }
    });
  }

 private:
  void together(const T* x, T* y) const {
    const auto rows = context_.loops.of<T>().softmax_rows;
    const int64_t n = rows_.length;
    parallel_ranges(context_.threads, rows_.count, 8 * n,
                    [&](int64_t begin, int64_t end) { rows(x + begin * n, y + begin * n, end - begin, n); });
  }

  // 1 for the keys of this segment, behind the two rows of the buffer.
  const int32_t* of_segment(const int32_t* keys, int32_t segment, Compute<T>* buffer) const {
    int32_t* mask = reinterpret_cast<int32_t*>(buffer + 2 * rows_.length);
    for (int64_t j = 0; j < rows_.length; ++j) mask[j] = keys[j] != 0 && keys[j] == segment ? 1 : 0;
    return mask;
  }

  void one(const T* x, const Compute<T>* addend, const int32_t* mask, T* y, int64_t seen, Compute<T>* buffer) const {
    const auto& loops = context_.loops.of<T>();
    const auto& wide = context_.loops.of<Compute<T>>();
    const int64_t n = rows_.length;
    if (addend != nullptr && addend_stride_ != 1) {
      gather(wide, addend, addend_stride_, n, buffer + n);
      addend = buffer + n;
    }
    if constexpr (std::is_same_v<T, Compute<T>>)
      if (stride_ == 1) return wide.softmax(x, addend, mask, y, n, seen);
    gather(loops, x, stride_, n, buffer);
    wide.softmax(buffer, addend, mask, buffer, n, seen);
    scatter(loops, buffer, stride_, n, y);
  }

  CpuContext context_;
  SoftmaxOptions options_;
  Rows rows_;
  Walk walk_;
  int64_t stride_, addend_stride_;
};

template <typename T>
class SoftmaxGradientKernel : public Kernel {
 public:
  explicit SoftmaxGradientKernel(const KernelCase& c)
      : context_(c.context), rows_(c.as<SoftmaxGradient>().options(), c.in(0)) {
    const Shape* shapes[2] = {&c.in(0), &c.in(1)};
    walk_ = Walk(rows_.dims, shapes);
    for (int t = 0; t < 2; ++t) stride_[t] = stride_of(*shapes[t], c.as<SoftmaxGradient>().options().over);
    CHECK(c.in(1) == c.out(0), "[softmax_gradient] {} to {}", c.in(1).to_string(), c.out(0).to_string());
    together_ = rows_.go_together(stride_[0]) && c.in(0) == c.in(1);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T* y = input<T>(inputs, 0);
    const T* dy = input<T>(inputs, 1);
    T* dx = output<T>(outputs, 0);
    if (together_) return together(y, dy, dx);
    parallel_ranges(context_.threads, rows_.count, rows_.length, [&](int64_t begin, int64_t end) {
      Compute<T>* buffer = thread_rows<T>(workspace, rows_.length);
      for (int64_t row = begin; row < end; ++row) {
        int64_t at[Walk::kTensors];
        walk_.offsets(row, at);
        one(y + at[0], dy + at[1], dx + at[1], rows_.seen(row), buffer);
      }
    });
  }

 private:
  void together(const T* y, const T* dy, T* dx) const {
    const auto rows = context_.loops.of<T>().softmax_gradient_rows;
    const int64_t n = rows_.length;
    parallel_ranges(context_.threads, rows_.count, n, [&](int64_t begin, int64_t end) {
      rows(y + begin * n, dy + begin * n, dx + begin * n, end - begin, n);
    });
  }

  void one(const T* y, const T* dy, T* dx, int64_t seen, Compute<T>* buffer) const {
    const auto& loops = context_.loops.of<T>();
    const auto& gradient = context_.loops.of<Compute<T>>().softmax_gradient;
    const int64_t n = rows_.length;
    if constexpr (std::is_same_v<T, Compute<T>>)
      if (stride_[0] == 1 && stride_[1] == 1) return gradient(y, dy, dx, n, seen);
    gather(loops, y, stride_[0], n, buffer);
    gather(loops, dy, stride_[1], n, buffer + n);
    gradient(buffer, buffer + n, buffer, n, seen);
    scatter(loops, buffer, stride_[1], n, dx);
  }

  CpuContext context_;
  Rows rows_;
  Walk walk_;
  int64_t stride_[2];
  bool together_;
};

}  // namespace

std::span<const KernelEntry> softmax_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(Softmax), make_by_output<SoftmaxKernel>, softmax_workspace},
      {&typeid(SoftmaxGradient), make_by_output<SoftmaxGradientKernel>, gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer
