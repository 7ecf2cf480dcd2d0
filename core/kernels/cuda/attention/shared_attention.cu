// Applying one alignment to a whole batch: one product a head for all examples. The values are packed as
// [heads, memory_length, batch·head] with masked rows, and a column an example holds its mask, so that the same
// product gives the divisor D. Rows whose D underflows are computed on their own.
#include "core/kernels/cuda/attention/causal_product.h"
#include "core/kernels/cuda/attention/shared_rows.h"
#include "core/ops/shared_attention.h"

namespace synthesizer::cuda {
namespace {

// Z [heads, length, columns] = A · P; P [heads, memory_length, columns].
Product forward_product(const SharedSizes& s, bool causal) {
  return product_of_heads(s, s.length, s.columns, s.memory, false, false, causal ? Triangle::kLowerA : Triangle::kNone);
}

// Sums to Y and D.
template <typename T>
__global__ void divide_kernel(SharedArguments<T> g, const Compute<T>* sums, T* y, Compute<T>* divisors) {
  using C = Compute<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  each_row_by_warp(g, [&](int b, int h, int i) {
    const C* const from = sums + (static_cast<int64_t>(h) * g.length + i) * g.columns;
    const C divisor = from[g.batch * g.head + b];
    T* const out = y + g.row(b, i, h) * g.head;
    if (lane == 0) divisors[g.row(b, i, h)] = divisor;
    if (!underflows(divisor)) {
      const C factor = C(1) / divisor;
      for (int a = lane; a < g.head; a += kWarp) out[a] = rounded<T>(from[b * g.head + a] * factor);
      return;
    }
    const OwnSoftmax<T> softmax(g, b, h, i);
    for (int a = lane; a < g.head; a += kWarp) {
      C sum = 0;
      for (int j = 0; j < softmax.seen; ++j)
        if (const C weight = softmax.weight(j); weight != 0) sum += weight * widened(g.values[g.value(b, j, h) + a]);
      out[a] = rounded<T>(sum);
    }
  });
}

template <typename T>
class SharedAttentionKernel : public Kernel {
 public:
  using C = Compute<T>;

  explicit SharedAttentionKernel(const KernelCase& c)
      : s_(c, 2),
        stream_(c.context.stream),
        causal_(c.as<SharedAttention>().causal()),
        product_(*c.context.products, forward_product(s_, causal_)) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const SharedArguments<T> g = shared_arguments<T>(s_, causal_, inputs[0], inputs[2], inputs[3]);
    std::byte* space = static_cast<std::byte*>(workspace);
    std::byte* const copy = space;
    T* const packed = reinterpret_cast<T*>(space += s_.weights_bytes());
    C* const sums = reinterpret_cast<C*>(space += s_.packed_bytes(s_.memory));
    space += s_.sums_bytes(s_.length);
    pack_masked_values(stream_, g, packed);
    product_.run(stream_, rounded_weights<T>(stream_, s_, inputs[1], copy), packed, sums, space);
    launch(stream_, {"divide_kernel", blocks_for(s_.heads * s_.length * s_.batch * kWarp)}, divide_kernel<T>, g, sums,
           output<T>(outputs, 0), output<C>(outputs, 1));
  }

 private:
  SharedSizes s_;
  cudaStream_t stream_;
  bool causal_;
  CausalProduct product_;
};

int64_t forward_workspace(const KernelCase& c) {
  const SharedSizes s(c, 2);
  return s.weights_bytes() + s.packed_bytes(s.memory) + s.sums_bytes(s.length) + c.context.products->workspace_bytes();
}

}  // namespace

std::span<const KernelEntry> shared_attention_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(SharedAttention), (make_by_input<SharedAttentionKernel, 2>), forward_workspace}};
  return kEntries;
}

}  // namespace synthesizer::cuda
