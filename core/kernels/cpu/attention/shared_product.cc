// One alignment applied to a whole batch. Forward multiplies the values where they lie. Backward packs values and
// gradients as [heads, length, batch·head], so that sums over the examples are those of the products.
#include "core/ops/shared_product.h"

#include <algorithm>
#include <type_traits>

#include "core/kernels/cpu/attention/pack.h"
#include "core/kernels/cpu/parallel.h"
#include "core/kernels/shared_products.h"

namespace synthesizer {
namespace {

// Of A [heads, length, memory_length] and V [batch, memory_length, heads, head].
struct Sizes {
  explicit Sizes(const KernelCase& c) : dtype(c.inputs[1].dtype) {
    const std::vector<Dim>&weights = c.in(0).dims(), &values = c.in(1).dims();
    heads = weights[0].size;
    length = weights[1].size;
    memory = weights[2].size;
    batch = values[0].size;
    head = values[3].size;
  }
  int64_t weights() const { return heads * length * memory; }
  // Elements of a row of what is packed, and of all rows.
  int64_t columns() const { return batch * head; }
  int64_t packed(int64_t rows) const { return heads * rows * columns(); }

  DType dtype;
  int64_t heads, length, memory, batch, head;
};

template <typename T>
T* take_weights(Carver& carver, const Sizes& s) {
  return std::is_same_v<T, Compute<T>> ? nullptr : carver.take<T>(s.weights());
}

template <typename T>
class SharedProductKernel : public Kernel {
 public:
  explicit SharedProductKernel(const KernelCase& c)
      : s_(c),
        context_(c.context),
        product_(make_gemm(forward_product(s_, c.as<SharedProduct>().causal()), c.context.gemm_threads(),
                           c.context.counters)) {}

  static int64_t workspace(const KernelCase& c) {
    const Sizes s(c);
    Carver carver(nullptr);
    take_weights<T>(carver, s);
    return carver.used() + gemm_workspace(forward_product(s, c.as<SharedProduct>().causal()), c.context.gemm_threads());
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    auto* const space = static_cast<std::byte*>(workspace);
    Carver carver(space);
    T* const copy = take_weights<T>(carver, s_);
    product_->run(rounded_weights(context_, input<Compute<T>>(inputs, 0), s_.weights(), copy), input<T>(inputs, 1),
                  output<T>(outputs, 0), space + carver.used());
  }

 private:
  Sizes s_;
  CpuContext context_;
  std::unique_ptr<Gemm> product_;
};

template <typename T>
class SharedProductGradientKernel : public Kernel {
 public:
  using C = Compute<T>;

  explicit SharedProductGradientKernel(const KernelCase& c)
      : s_(c),
        causal_(c.as<SharedProductGradient>().causal()),
        context_(c.context),
        weights_product_(make_gemm(weights_product(s_, causal_), c.context.gemm_threads(), c.context.counters)),
        values_product_(make_gemm(values_product(s_, causal_), c.context.gemm_threads(), c.context.counters)) {}

  static int64_t workspace(const KernelCase& c) {
    const Sizes s(c);
    const bool causal = c.as<SharedProductGradient>().causal();
    return Scratch(s, nullptr).bytes + std::max(gemm_workspace(weights_product(s, causal), c.context.gemm_threads()),
                                                gemm_workspace(values_product(s, causal), c.context.gemm_threads()));
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    auto* const space = static_cast<std::byte*>(workspace);
    const Scratch scratch(s_, space);
    C* const dweights = output<C>(outputs, 0);
    pack(input<T>(inputs, 1), s_.memory, scratch.values);
    pack(input<T>(inputs, 2), s_.length, scratch.dy);
    weights_product_->run(scratch.dy, scratch.values, dweights, space + scratch.bytes);
    if (causal_) clear_above(dweights);
    values_product_->run(rounded_weights(context_, input<C>(inputs, 0), s_.weights(), scratch.weights), scratch.dy,
                         scratch.values, space + scratch.bytes);
    unpack(scratch.values, output<T>(outputs, 1));
  }

 private:
  struct Scratch {
    Scratch(const Sizes& s, std::byte* memory) {
      Carver carver(memory);
      weights = take_weights<T>(carver, s);
      values = carver.take<T>(s.packed(s.memory));
      dy = carver.take<T>(s.packed(s.length));
      bytes = carver.used();
    }
    T *weights, *values, *dy;  // values: then their gradient
    int64_t bytes;
  };

  // to [heads, rows, (batch, head)], from [batch, rows, heads, head].
  void pack(const T* from, int64_t rows, T* to) const {
    parallel_ranges(context_.threads, s_.heads * rows, s_.columns(), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        copy_rows(from + (row % rows * s_.heads + row / rows) * s_.head, rows * s_.heads * s_.head, s_.batch, s_.head,
                  to + row * s_.columns(), s_.head);
    });
  }
  // And back, of the values' gradient.
  void unpack(const T* from, T* to) const {
    parallel_ranges(context_.threads, s_.batch * s_.memory, s_.heads * s_.head, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        copy_rows(from + row % s_.memory * s_.columns() + row / s_.memory * s_.head, s_.memory * s_.columns(), s_.heads,
                  s_.head, to + row * s_.heads * s_.head, s_.head);
    });
  }

  void clear_above(C* dweights) const {
    parallel_ranges(context_.threads, s_.heads * s_.length, s_.memory, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t seen = std::min(row % s_.length + 1, s_.memory);
        std::fill_n(dweights + row * s_.memory + seen, s_.memory - seen, C(0));
      }
    });
  }

  Sizes s_;
  bool causal_;
  CpuContext context_;
  std::unique_ptr<Gemm> weights_product_, values_product_;
};

// By the values: dA is of compute_type().
int64_t gradient_workspace(const KernelCase& c) {
  const DType dtype = c.inputs[1].dtype;
  if (dtype == DType::kBFloat16) return SharedProductGradientKernel<BFloat16>::workspace(c);
  return dtype == DType::kFloat64 ? SharedProductGradientKernel<double>::workspace(c)
                                  : SharedProductGradientKernel<float>::workspace(c);
}

}  // namespace

std::span<const KernelEntry> shared_product_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(SharedProduct), make_by_output<SharedProductKernel>, workspace_by_output<SharedProductKernel>},
      {&typeid(SharedProductGradient), (make_by_input<SharedProductGradientKernel, 1>), gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer
