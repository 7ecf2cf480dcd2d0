// Moving elements: slices, padding, constants. A reshape runs nothing.
#include "core/graph/leaf.h"
#include "core/kernels/cuda/device/units.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/shape.h"

namespace synthesizer::cuda {
namespace {

// x as [outer, dim, inner].
struct Split {
  Split(const Shape& shape, const std::string& dim) {
    const size_t at = shape.index(dim);
    size = shape.dims()[at].size;
    inner = shape.strides()[at];
    outer = shape.elements() / (size * inner);
  }
  int64_t outer, size, inner;
};

// Rows of `to`, `to_width` units each: `before` of zeros, those of x's row from its first on, `x_width` apart, and
// zeros again.
struct Rows {
  int64_t rows, x_width, first, copied, before, to_width;
};

template <typename Unit>
__device__ void put_rows(const Unit* x, Unit* y, const Rows& r) {
  for (int64_t i = thread_of_grid(); i < r.rows * r.to_width; i += threads_of_grid()) {
    const RowColumn at = row_and_column(i, r.to_width);
    const int64_t column = at.column - r.before;
    y[i] = column >= 0 && column < r.copied ? x[at.row * r.x_width + r.first + column] : unit_of<Unit>(0);
  }
}

template <typename Unit>
__global__ void rows_kernel(const void* x, void* y, Rows rows) {
  put_rows(static_cast<const Unit*>(x), static_cast<Unit*>(y), rows);
}

// A position outside of [0, size) cannot be refused here: it gives NaN (-1 in integers).
template <typename Unit>
__global__ void slice_at_kernel(const void* x, const int64_t* position, int64_t size, void* y, Rows rows) {
  if (*position >= 0 && *position < size) {
    rows.first = *position * rows.copied;
    return put_rows(static_cast<const Unit*>(x), static_cast<Unit*>(y), rows);
  }
  for (int64_t i = thread_of_grid(); i < rows.rows * rows.to_width; i += threads_of_grid())
    static_cast<Unit*>(y)[i] = unit_of<Unit>(0xFF);
}

// Gives `rows` in units, their numbers being of elements `inner` · size_of(dtype) bytes each.
template <typename Choose>
Rows in_units(const Rows& rows, int64_t bytes, const Choose& choose) {
  Rows r = rows;
  with_unit(bytes, [&]<typename Unit>(Unit unit) {
    const int64_t units = bytes / static_cast<int64_t>(sizeof(Unit));
    r = {rows.rows,           rows.x_width * units, rows.first * units,
         rows.copied * units, rows.before * units,  rows.to_width * units};
    choose(unit);
  });
  return r;
}

class RowsKernel : public Kernel {
 public:
  RowsKernel(const KernelCase& c, const Split& x, const Rows& rows) : stream_(c.context.stream) {
    rows_ = in_units(rows, x.inner * size_of(c.inputs[0].dtype),
                     [this]<typename Unit>(Unit) { kernel_ = rows_kernel<Unit>; });
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    launch(stream_, {"rows_kernel", blocks_for(rows_.rows * rows_.to_width)}, kernel_, inputs[0], outputs[0], rows_);
  }

 private:
  cudaStream_t stream_;
  Rows rows_;
  void (*kernel_)(const void*, void*, Rows) = nullptr;
};

std::unique_ptr<Kernel> make_slice(const KernelCase& c) {
  const auto& op = c.as<Slice>();
  const Split x(c.in(0), op.dim());
  CHECK(op.begin() >= 0 && op.begin() + op.size() <= x.size, "[slice] [{}, {}) of {}", op.begin(),
        op.begin() + op.size(), x.size);
  return std::make_unique<RowsKernel>(c, x, Rows{x.outer, x.size, op.begin(), op.size(), 0, op.size()});
}

std::unique_ptr<Kernel> make_pad(const KernelCase& c) {
  const auto& op = c.as<Pad>();
  const Split x(c.in(0), op.dim());
  return std::make_unique<RowsKernel>(c, x,
                                      Rows{x.outer, x.size, 0, x.size, op.before(), op.before() + x.size + op.after()});
}

class SliceAtKernel : public Kernel {
 public:
  explicit SliceAtKernel(const KernelCase& c) : stream_(c.context.stream) {
    const Split x(c.in(0), c.as<SliceAt>().dim());
    size_ = x.size;
    rows_ = in_units(Rows{x.outer, x.size, 0, 1, 0, 1}, x.inner * size_of(c.inputs[0].dtype),
                     [this]<typename Unit>(Unit) { kernel_ = slice_at_kernel<Unit>; });
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    launch(stream_, {"slice_at_kernel", blocks_for(rows_.rows * rows_.to_width)}, kernel_, inputs[0],
           input<int64_t>(inputs, 1), size_, outputs[0], rows_);
  }

 private:
  cudaStream_t stream_;
  int64_t size_;
  Rows rows_;
  void (*kernel_)(const void*, const int64_t*, int64_t, void*, Rows) = nullptr;
};

class ReshapeKernel : public Kernel {
 public:
  explicit ReshapeKernel(const KernelCase&) {}
  void run(std::span<void* const>, std::span<void* const>, void*) override {}
};

template <typename T>
__global__ void fill_kernel(T* y, int64_t n, T value) {
  constexpr int kPacked = kPack<T>;
  Pack<T, kPacked> pack;
  for (int i = 0; i < kPacked; ++i) pack.at[i] = value;
  const int64_t packs = n / kPacked;
  for (int64_t p = thread_of_grid(); p < packs; p += threads_of_grid())
    reinterpret_cast<Pack<T, kPacked>*>(y)[p] = pack;
  for (int64_t i = packs * kPacked + thread_of_grid(); i < n; i += threads_of_grid()) y[i] = value;
}

class ConstantKernel : public Kernel {
 public:
  explicit ConstantKernel(const KernelCase& c)
      : stream_(c.context.stream), type_(c.outputs[0]), value_(c.as<Constant>().value()) {}

  void run(std::span<void* const>, std::span<void* const> outputs, void*) override {
    switch (type_.dtype) {
      case DType::kFloat32:
        return fill(output<float>(outputs, 0));
      case DType::kFloat64:
        return fill(output<double>(outputs, 0));
      case DType::kBFloat16:
        return fill(output<BFloat16>(outputs, 0));
      case DType::kInt32:
        return fill(output<int32_t>(outputs, 0));
      case DType::kInt64:
        return fill(output<int64_t>(outputs, 0));
    }
  }

 private:
  template <typename T>
  void fill(T* y) const {
    const int64_t n = type_.shape.elements();
    launch(stream_, {"fill_kernel", blocks_for(n / kPack<T>)}, fill_kernel<T>, y, n, rounded<T>(value_));
  }

  cudaStream_t stream_;
  ValueType type_;
  double value_;
};

}  // namespace

std::span<const KernelEntry> shape_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Reshape), make_untyped<ReshapeKernel>, nullptr},
                                         {&typeid(Slice), make_slice, nullptr},
                                         {&typeid(Pad), make_pad, nullptr},
                                         {&typeid(SliceAt), make_untyped<SliceAtKernel>, nullptr},
                                         {&typeid(Constant), make_untyped<ConstantKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer::cuda
