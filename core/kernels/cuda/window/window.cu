// Windows along a dim: moving their elements and adding them up.
#include "core/kernels/cuda/device/units.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/window.h"

namespace synthesizer::cuda {
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

// inner: in units.
template <typename Unit>
__global__ void unfold_kernel(const void* x, void* y, Rows r) {
  for (int64_t i = thread_of_grid(); i < r.count * r.window * r.inner; i += threads_of_grid()) {
    const RowColumn element = row_and_column(i, r.inner), place = row_and_column(element.row, r.window);
    const int64_t shift = place.column - r.before, l = row_and_column(place.row, r.length).column + shift;
    static_cast<Unit*>(y)[i] = l >= 0 && l < r.length
                                   ? static_cast<const Unit*>(x)[(place.row + shift) * r.inner + element.column]
                                   : unit_of<Unit>(0);
  }
}

class UnfoldKernel : public Kernel {
 public:
  explicit UnfoldKernel(const KernelCase& c)
      : stream_(c.context.stream),
        x_(c.in(0), c.as<Unfold>().dim(), c.as<Unfold>().window().size, c.as<Unfold>().before()) {
    with_unit(x_.inner * size_of(c.inputs[0].dtype), [&]<typename Unit>(Unit) {
      x_.inner = x_.inner * size_of(c.inputs[0].dtype) / static_cast<int64_t>(sizeof(Unit));
      kernel_ = unfold_kernel<Unit>;
    });
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    launch(stream_, {"unfold_kernel", blocks_for(x_.count * x_.window * x_.inner)}, kernel_, inputs[0], outputs[0], x_);
  }

 private:
  cudaStream_t stream_;
  Rows x_;
  void (*kernel_)(const void*, void*, Rows) = nullptr;
};

std::unique_ptr<Kernel> make_unfold(const KernelCase& c) { return std::make_unique<UnfoldKernel>(c); }

// inner: in packs.
template <typename T, int kPacked>
__global__ void fold_kernel(const T* y, T* x, Rows r) {
  for (int64_t i = thread_of_grid(); i < r.count * r.inner; i += threads_of_grid()) {
    const RowColumn element = row_and_column(i, r.inner);
    const int64_t l = row_and_column(element.row, r.length).column;
    Compute<T> sum[kPacked] = {};
    for (int64_t w = 0; w < r.window; ++w) {
      const int64_t shift = r.before - w;  // from the row that sees this one at place w
      if (l + shift < 0 || l + shift >= r.length) continue;
      const int64_t at = ((element.row + shift) * r.window + w) * r.inner + element.column;
      const auto seen = reinterpret_cast<const Pack<T, kPacked>*>(y)[at];
      for (int k = 0; k < kPacked; ++k) sum[k] += widened(seen.at[k]);
    }
    Pack<T, kPacked> made;
    for (int k = 0; k < kPacked; ++k) made.at[k] = rounded<T>(sum[k]);
    reinterpret_cast<Pack<T, kPacked>*>(x)[i] = made;
  }
}

template <typename T>
class FoldKernel : public Kernel {
 public:
  explicit FoldKernel(const KernelCase& c)
      : stream_(c.context.stream), x_(c.out(0), c.as<Fold>().dim(), c.as<Fold>().window().size, c.as<Fold>().before()) {
    const bool packed = x_.inner % kPack<T> == 0;
    if (packed) x_.inner /= kPack<T>;
    kernel_ = packed ? fold_kernel<T, kPack<T>> : fold_kernel<T, 1>;
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    launch(stream_, {"fold_kernel", blocks_for(x_.count * x_.inner)}, kernel_, input<T>(inputs, 0),
           output<T>(outputs, 0), x_);
  }

 private:
  cudaStream_t stream_;
  Rows x_;
  void (*kernel_)(const T*, T*, Rows) = nullptr;
};

}  // namespace

std::span<const KernelEntry> window_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Unfold), make_unfold, nullptr},
                                         {&typeid(Fold), make_by_output<FoldKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer::cuda
