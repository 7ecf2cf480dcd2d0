// Functions of one element, broadcast by name.
#include "core/ops/elementwise.h"

#include <cstddef>
#include <type_traits>

#include "core/kernels/cpu/cast_elements.h"
#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/kernels/geometry.h"
#include "core/ops/cast.h"
#include "core/ops/functors.h"

namespace synthesizer {
namespace {

template <typename T>
class UnaryKernel : public Kernel {
 public:
  explicit UnaryKernel(const KernelCase& c)
      : threads_(c.context.threads),
        count_(c.out(0).elements()),
        scale_(static_cast<Compute<T>>(c.as<Unary>().scale())),
        shift_(static_cast<Compute<T>>(c.as<Unary>().shift())),
        loop_(c.context.loops.of<T>().unary[static_cast<int>(c.as<Unary>().function())]) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T* x = input<T>(inputs, 0);
    T* y = output<T>(outputs, 0);
    parallel_ranges(threads_, count_, 1,
                    [&](int64_t begin, int64_t end) { loop_(x + begin, y + begin, end - begin, scale_, shift_); });
  }

 private:
  int threads_;
  int64_t count_;
  Compute<T> scale_, shift_;
  std::remove_all_extents_t<decltype(Loops<T>::unary)> loop_;
};

template <typename T>
class UnaryGradientKernel : public Kernel {
 public:
  explicit UnaryGradientKernel(const KernelCase& c)
      : threads_(c.context.threads),
        count_(c.out(0).elements()),
        loop_(c.context.loops.of<T>().unary_gradient[static_cast<int>(c.as<UnaryGradient>().function())]) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T* saved = input<T>(inputs, 0);
    const T* dy = input<T>(inputs, 1);
    T* dx = output<T>(outputs, 0);
    parallel_ranges(threads_, count_, 1,
                    [&](int64_t begin, int64_t end) { loop_(saved + begin, dy + begin, dx + begin, end - begin); });
  }

 private:
  int threads_;
  int64_t count_;
  std::remove_all_extents_t<decltype(Loops<T>::unary_gradient)> loop_;
};

// Rows along the last merged dim, long rows in pieces, so that one long row is shared out too.
template <typename T>
class BinaryKernel : public Kernel {
 public:
  explicit BinaryKernel(const KernelCase& c)
      : threads_(c.context.threads),
        loop_(c.context.loops.of<T>().binary[static_cast<int>(c.as<Binary>().function())]) {
    const Shape* shapes[3] = {&c.in(0), &c.in(1), &c.out(0)};
    rows_ = Walk(c.out(0).dims(), shapes);
    rows_.merge();
    length_ = rows_.take_last(stride_);
    pieces_ = (length_ + kPiece - 1) / kPiece;
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T* a = input<T>(inputs, 0);
    const T* b = input<T>(inputs, 1);
    T* y = output<T>(outputs, 0);
    parallel_ranges(threads_, rows_.count() * pieces_, std::min(length_, kPiece), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t at[Walk::kTensors];
        rows_.offsets(i / pieces_, at);
        const int64_t from = i % pieces_ * kPiece;
        loop_(a + at[0] + from * stride_[0], stride_[0], b + at[1] + from * stride_[1], stride_[1], y + at[2] + from,
              std::min(kPiece, length_ - from));
      }
    });
  }

 private:
  static constexpr int64_t kPiece = 8192;
  int threads_;
  Walk rows_;
  int64_t length_, pieces_;
  int64_t stride_[Walk::kTensors];
  std::remove_all_extents_t<decltype(Loops<T>::binary)> loop_;
};

template <typename From, typename To>
class CastKernel : public Kernel {
 public:
  explicit CastKernel(const KernelCase& c) : context_(c.context), count_(c.out(0).elements()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const From* x = input<From>(inputs, 0);
    To* y = output<To>(outputs, 0);
    parallel_ranges(context_.threads, count_, 1, [&](int64_t begin, int64_t end) {
      cast_elements(context_.loops, x + begin, y + begin, end - begin);
    });
  }

 private:
  CpuContext context_;
  int64_t count_;
};

}  // namespace

std::span<const KernelEntry> elementwise_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Unary), make_by_output<UnaryKernel>, nullptr},
                                         {&typeid(UnaryGradient), make_by_output<UnaryGradientKernel>, nullptr},
                                         {&typeid(Binary), make_by_output<BinaryKernel>, nullptr},
                                         {&typeid(Cast), make_conversion<CastKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer
