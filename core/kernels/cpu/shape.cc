// Moving elements: slices, padding, constants. A reshape runs nothing.
#include "core/ops/shape.h"

#include <cstring>

#include "core/graph/leaf.h"
#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/tensor/bfloat16.h"

namespace synthesizer {
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

void copy_bytes(int threads, int64_t rows, int64_t bytes, const std::byte* from, int64_t from_stride, std::byte* to,
                int64_t to_stride) {
  parallel_ranges(threads, rows, bytes / 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(to + i * to_stride, from + i * from_stride, static_cast<size_t>(bytes));
  });
}

class SliceKernel : public Kernel {
 public:
  explicit SliceKernel(const KernelCase& c)
      : threads_(c.context.threads), bytes_(size_of(c.inputs[0].dtype)), x_(c.in(0), c.as<Slice>().dim()) {
    begin_ = c.as<Slice>().begin();
    size_ = c.as<Slice>().size();
    CHECK(begin_ >= 0 && begin_ + size_ <= x_.size, "[slice] [{}, {}) of {}", begin_, begin_ + size_, x_.size);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const int64_t unit = x_.inner * bytes_;
    copy_bytes(threads_, x_.outer, size_ * unit, input<std::byte>(inputs, 0) + begin_ * unit, x_.size * unit,
               output<std::byte>(outputs, 0), size_ * unit);
  }

 private:
  int threads_;
  int64_t bytes_;
  Split x_;
  int64_t begin_, size_;
};

class PadKernel : public Kernel {
 public:
  explicit PadKernel(const KernelCase& c)
      : threads_(c.context.threads),
        bytes_(size_of(c.inputs[0].dtype)),
        x_(c.in(0), c.as<Pad>().dim()),
        before_(c.as<Pad>().before()),
        after_(c.as<Pad>().after()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const int64_t unit = x_.inner * bytes_, row = x_.size * unit, padded = (x_.size + before_ + after_) * unit;
    const std::byte* x = input<std::byte>(inputs, 0);
    std::byte* y = output<std::byte>(outputs, 0);
    parallel_ranges(threads_, x_.outer, padded / 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::byte* out = y + i * padded;
        std::memset(out, 0, static_cast<size_t>(before_ * unit));
        std::memcpy(out + before_ * unit, x + i * row, static_cast<size_t>(row));
        std::memset(out + before_ * unit + row, 0, static_cast<size_t>(after_ * unit));
      }
    });
  }

 private:
  int threads_;
  int64_t bytes_;
  Split x_;
  int64_t before_, after_;
};

class SliceAtKernel : public Kernel {
 public:
  explicit SliceAtKernel(const KernelCase& c)
      : threads_(c.context.threads), bytes_(size_of(c.inputs[0].dtype)), x_(c.in(0), c.as<SliceAt>().dim()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const int64_t position = *input<int64_t>(inputs, 1), unit = x_.inner * bytes_;
    if (position < 0 || position >= x_.size) fail("[slice_at] position {}: expected 0 to {}", position, x_.size - 1);
    copy_bytes(threads_, x_.outer, unit, input<std::byte>(inputs, 0) + position * unit, x_.size * unit,
               output<std::byte>(outputs, 0), unit);
  }

 private:
  int threads_;
  int64_t bytes_;
  Split x_;
};

class ReshapeKernel : public Kernel {
 public:
  explicit ReshapeKernel(const KernelCase&) {}
  void run(std::span<void* const>, std::span<void* const>, void*) override {}
};

class ConstantKernel : public Kernel {
 public:
  explicit ConstantKernel(const KernelCase& c)
      : threads_(c.context.threads), type_(c.outputs[0]), value_(c.as<Constant>().value()) {}

  void run(std::span<void* const>, std::span<void* const> outputs, void*) override {
    switch (type_.dtype) {
      case DType::kFloat32:
        return fill(output<float>(outputs, 0));
      case DType::kFloat64:
        return fill(output<double>(outputs, 0));
      case DType::kBFloat16:
        return fill_with(output<BFloat16>(outputs, 0), to_bfloat16(static_cast<float>(value_)));
      case DType::kInt32:
        return fill(output<int32_t>(outputs, 0));
      case DType::kInt64:
        return fill(output<int64_t>(outputs, 0));
    }
  }

 private:
  template <typename T>
  void fill(T* y) const {
    fill_with(y, static_cast<T>(value_));
  }
  template <typename T>
  void fill_with(T* y, T value) const {
    parallel_ranges(threads_, type_.shape.elements(), 1,
                    [&](int64_t begin, int64_t end) { std::fill(y + begin, y + end, value); });
  }

  int threads_;
  ValueType type_;
  double value_;
};

}  // namespace

std::span<const KernelEntry> shape_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Reshape), make_untyped<ReshapeKernel>, nullptr},
                                         {&typeid(Slice), make_untyped<SliceKernel>, nullptr},
                                         {&typeid(Pad), make_untyped<PadKernel>, nullptr},
                                         {&typeid(SliceAt), make_untyped<SliceAtKernel>, nullptr},
                                         {&typeid(Constant), make_untyped<ConstantKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer
