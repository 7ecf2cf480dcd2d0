// Elements by position, and their gradient: each place adds up those that were taken from it, examples and positions in
// order.
#include "core/kernels/cuda/device/units.h"
#include "core/kernels/cuda/embedding/position_lists.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/take.h"

namespace synthesizer::cuda {
namespace {

// The longer side [batch, outer, to, inner], the other one [(batch,) outer, size, inner].
struct Sides {
  Sides(const Shape& taken, const Shape& positions, const Dim& dim, bool each) : size(dim.size), each_example(each) {
    const size_t at = taken.index(positions.dims()[1].name);
    batch = positions.dims()[0].size;
    to = positions.dims()[1].size;
    inner = taken.strides()[at];
    outer = taken.elements() / (batch * to * inner);
  }
  int64_t batch, outer, to, inner, size;
  bool each_example;
};

// inner: in units.
template <typename Unit>
__global__ void take_kernel(const void* x, const int32_t* positions, void* y, Sides s) {
  const int64_t n = s.batch * s.outer * s.to * s.inner;
  for (int64_t i = thread_of_grid(); i < n; i += threads_of_grid()) {
    const RowColumn element = row_and_column(i, s.inner), place = row_and_column(element.row, s.to);
    const RowColumn block = row_and_column(place.row, s.outer);  // an example, an outer index
    const int64_t position = positions[block.row * s.to + place.column];
    const int64_t from = s.each_example ? place.row : block.column;
    static_cast<Unit*>(y)[i] = position >= 0 && position < s.size
                                   ? static_cast<const Unit*>(x)[(from * s.size + position) * s.inner + element.column]
                                   : unit_of<Unit>(0);
  }
}

class TakeKernel : public Kernel {
 public:
  explicit TakeKernel(const KernelCase& c)
      : stream_(c.context.stream),
        sides_(c.out(0), c.in(1), c.in(0).dims()[c.in(0).index(c.as<Take>().dim())],
               c.in(0).has(c.in(1).dims()[0].name)) {
    with_unit(sides_.inner * size_of(c.outputs[0].dtype), [&]<typename Unit>(Unit) {
      sides_.inner = sides_.inner * size_of(c.outputs[0].dtype) / static_cast<int64_t>(sizeof(Unit));
      kernel_ = take_kernel<Unit>;
    });
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    launch(stream_, {"take_kernel", blocks_for(sides_.batch * sides_.outer * sides_.to * sides_.inner)}, kernel_,
           inputs[0], input<int32_t>(inputs, 1), outputs[0], sides_);
  }

 private:
  cudaStream_t stream_;
  Sides sides_;
  void (*kernel_)(const void*, const int32_t*, void*, Sides) = nullptr;
};

std::unique_ptr<Kernel> make_take(const KernelCase& c) { return std::make_unique<TakeKernel>(c); }

// A thread has a pack of dx and goes along the list of its place; inner: in packs. Where inner is 1, neighbours have
// neighbouring places, which are mostly taken to neighbours.
template <typename T, int kPacked>
__global__ void take_gradient_kernel(PositionLists lists, const T* dy, T* dx, Sides s) {
  const int64_t n = (s.each_example ? s.batch : 1) * s.outer * s.size * s.inner;
  for (int64_t i = thread_of_grid(); i < n; i += threads_of_grid()) {
    const RowColumn element = row_and_column(i, s.inner), place = row_and_column(element.row, s.size);
    const RowColumn block = row_and_column(place.row, s.outer);  // an example or 0, an outer index
    const int64_t list = s.each_example ? block.row * s.size + place.column : place.column;
    Compute<T> sum[kPacked] = {};
    const int32_t end = lists.begin[list + 1];
    for (int32_t at = lists.begin[list]; at < end; ++at) {
      const RowColumn taken = row_and_column(lists.positions[at], s.to);
      const int64_t from = ((taken.row * s.outer + block.column) * s.to + taken.column) * s.inner + element.column;
      const auto seen = reinterpret_cast<const Pack<T, kPacked>*>(dy)[from];
      for (int k = 0; k < kPacked; ++k) sum[k] += widened(seen.at[k]);
    }
    Pack<T, kPacked> made;
    for (int k = 0; k < kPacked; ++k) made.at[k] = rounded<T>(sum[k]);
    reinterpret_cast<Pack<T, kPacked>*>(dx)[i] = made;
  }
}

// A list for each place, of each example or of all.
RowsById places(const KernelCase& c) {
  const auto& op = c.as<TakeGradient>();
  const int64_t batch = c.in(0).dims()[0].size, to = c.in(0).dims()[1].size, size = op.dim().size;
  const bool each = op.each_example();
  return {.positions = batch * to,
          .size = size,
          .group = to,
          .rows_apart = each ? size : 0,
          .rows = each ? batch * size : size};
}

int64_t gradient_workspace(const KernelCase& c) { return PositionSort(places(c)).workspace(); }

template <typename T>
class TakeGradientKernel : public Kernel {
 public:
  explicit TakeGradientKernel(const KernelCase& c)
      : stream_(c.context.stream),
        sort_(places(c)),
        sides_(c.in(1), c.in(0), c.as<TakeGradient>().dim(), c.as<TakeGradient>().each_example()),
        packs_(c.out(0).elements()) {
    const bool packed = sides_.inner % kPack<T> == 0;
    kernel_ = packed ? take_gradient_kernel<T, kPack<T>> : take_gradient_kernel<T, 1>;
    if (!packed) return;
    sides_.inner /= kPack<T>;
    packs_ /= kPack<T>;
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const PositionLists lists = sort_.run(stream_, input<int32_t>(inputs, 0), workspace);
    launch(stream_, {"take_gradient_kernel", blocks_for(packs_)}, kernel_, lists, input<T>(inputs, 1),
           output<T>(outputs, 0), sides_);
  }

 private:
  cudaStream_t stream_;
  PositionSort sort_;
  Sides sides_;
  int64_t packs_;
  void (*kernel_)(PositionLists, const T*, T*, Sides) = nullptr;
};

}  // namespace

std::span<const KernelEntry> take_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(Take), make_take, nullptr},
      {&typeid(TakeGradient), make_by_output<TakeGradientKernel>, gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer::cuda
