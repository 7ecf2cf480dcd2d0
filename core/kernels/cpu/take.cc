// Elements by position, and their gradient: each thread adds up places of its own, examples and positions in order.
#include "core/ops/take.h"

#include <algorithm>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"

namespace synthesizer {
namespace {

// The longer side [batch, outer, to, inner], the other one [(batch,) outer, dim, inner].
struct Sides {
  Sides(const Shape& taken, const Shape& positions, const Dim& dim, bool each) : size(dim.size), each_example(each) {
    const size_t at = taken.index(positions.dims()[1].name);
    batch = positions.dims()[0].size;
    to = positions.dims()[1].size;
    inner = taken.strides()[at];
    outer = taken.elements() / (batch * to * inner);
  }
  // Where the block of example b and outer index o begins.
  int64_t taken(int64_t b, int64_t o) const { return (b * outer + o) * to * inner; }
  int64_t whole(int64_t b, int64_t o) const { return ((each_example ? b * outer : 0) + o) * size * inner; }
  bool inside(int64_t position) const { return position >= 0 && position < size; }

  int64_t batch, outer, to, inner, size;
  bool each_example;
};

template <typename T>
class TakeKernel : public Kernel {
 public:
  explicit TakeKernel(const KernelCase& c)
      : threads_(c.context.threads),
        sides_(c.out(0), c.in(1), c.in(0).dims()[c.in(0).index(c.as<Take>().dim())],
               c.in(0).has(c.in(1).dims()[0].name)) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T* x = input<T>(inputs, 0);
    const int32_t* positions = input<int32_t>(inputs, 1);
    T* y = output<T>(outputs, 0);
    const Sides& s = sides_;
    parallel_ranges(threads_, s.batch * s.outer, s.to * s.inner, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t b = block / s.outer, o = block % s.outer;
        const T* from = x + s.whole(b, o);
        T* out = y + s.taken(b, o);
        for (int64_t j = 0; j < s.to; ++j) {
          const int64_t position = positions[b * s.to + j];
          if (s.inside(position))
            std::copy_n(from + position * s.inner, s.inner, out + j * s.inner);
          else
            std::fill_n(out + j * s.inner, s.inner, T{});
        }
      }
    });
  }

 private:
  int threads_;
  Sides sides_;
};

template <typename T>
class TakeGradientKernel : public Kernel {
 public:
  explicit TakeGradientKernel(const KernelCase& c)
      : threads_(c.context.threads),
        sides_(c.in(1), c.in(0), c.as<TakeGradient>().dim(), c.as<TakeGradient>().each_example()),
        axpy_(c.context.loops.of<T>().axpy) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const int32_t* positions = input<int32_t>(inputs, 0);
    const T* dy = input<T>(inputs, 1);
    T* dx = output<T>(outputs, 0);
    const Sides& s = sides_;
    const int64_t blocks = (s.each_example ? s.batch : 1) * s.outer;
    const int64_t examples = s.each_example ? 1 : s.batch;  // that are added into a block
    parallel_ranges(threads_, blocks, examples * s.to * s.inner, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = block / s.outer, o = block % s.outer;
        T* out = dx + s.whole(first, o);
        std::fill_n(out, s.size * s.inner, T{});
        for (int64_t b = first; b < first + examples; ++b)
          for (int64_t j = 0; j < s.to; ++j) {
            const int64_t position = positions[b * s.to + j];
            if (s.inside(position))
              axpy_(Compute<T>(1), dy + s.taken(b, o) + j * s.inner, out + position * s.inner, s.inner);
          }
      }
    });
  }

 private:
  int threads_;
  Sides sides_;
  decltype(Loops<T>::axpy) axpy_;
};

}  // namespace

std::span<const KernelEntry> take_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Take), make_by_output<TakeKernel>, nullptr},
                                         {&typeid(TakeGradient), make_by_output<TakeGradientKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer
