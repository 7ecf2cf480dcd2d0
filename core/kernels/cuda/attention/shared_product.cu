// One alignment applied to a whole batch. Forward multiplies the values where they lie. Backward packs values and
// gradients as [heads, length, batch·head], so that sums over the examples are those of the products.
#include "core/kernels/cuda/attention/causal_product.h"
#include "core/kernels/cuda/attention/shared_sizes.h"
#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/kernels/shared_products.h"
#include "core/ops/shared_product.h"

namespace synthesizer::cuda {
namespace {

// to [heads, rows, batch, head], from [batch, rows, heads, head], `head` in elements of X, which may be packs: both
// sides are read and written by pieces of a head.
template <typename X>
__global__ void pack_heads_kernel(const X* from, X* to, int batch, int rows, int heads, int head) {
  const int64_t count = static_cast<int64_t>(batch) * rows * heads * head;
  for (int64_t i = thread_of_grid(); i < count; i += threads_of_grid()) {
    int64_t rest = i / head;
    const int64_t a = i % head, b = rest % batch;
    rest /= batch;
    const int64_t row = rest % rows, h = rest / rows;
    to[i] = from[((b * rows + row) * heads + h) * head + a];
  }
}

// And back; rows from `live` on are zero, and not read.
template <typename X>
__global__ void unpack_heads_kernel(const X* from, X* to, int batch, int rows, int heads, int head, int live) {
  const int64_t count = static_cast<int64_t>(batch) * rows * heads * head;
  for (int64_t i = thread_of_grid(); i < count; i += threads_of_grid()) {
    int64_t rest = i / head;
    const int64_t a = i % head, h = rest % heads;
    rest /= heads;
    const int64_t row = rest % rows, b = rest / rows;
    to[i] = row < live ? from[((h * rows + row) * batch + b) * head + a] : X{};
  }
}

// Zero above the diagonal, [heads, length, memory].
template <typename T>
__global__ void clear_above_kernel(T* x, int heads, int length, int memory) {
  const int64_t count = static_cast<int64_t>(heads) * length * memory;
  for (int64_t i = thread_of_grid(); i < count; i += threads_of_grid())
    if (i % memory > i / memory % length) x[i] = 0;
}

template <typename T>
class SharedProductKernel : public Kernel {
 public:
  explicit SharedProductKernel(const KernelCase& c)
      : s_(c, 1),
        stream_(c.context.stream),
        product_(*c.context.products, forward_product(s_, c.as<SharedProduct>().causal())) {}

  static int64_t workspace(const KernelCase& c) {
    return SharedSizes(c, 1).weights_bytes() + c.context.products->workspace_bytes();
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    auto* const space = static_cast<std::byte*>(workspace);
    const void* weights = rounded_weights<T>(stream_, s_, inputs[0], space);
    product_.run(stream_, weights, inputs[1], outputs[0], space + s_.weights_bytes());
  }

 private:
  SharedSizes s_;
  cudaStream_t stream_;
  CausalProduct product_;
};

template <typename T>
class SharedProductGradientKernel : public Kernel {
 public:
  using C = Compute<T>;

  explicit SharedProductGradientKernel(const KernelCase& c)
      : s_(c, 1),
        stream_(c.context.stream),
        causal_(c.as<SharedProductGradient>().causal()),
        weights_product_(*c.context.products, weights_product(s_, causal_)),
        values_product_(*c.context.products, values_product(s_, causal_)) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    std::byte* space = static_cast<std::byte*>(workspace);
    std::byte* const copy = space;
    T* const values = reinterpret_cast<T*>(space += s_.weights_bytes());  // then their gradient
    T* const dy = reinterpret_cast<T*>(space += align_up(s_.packed_heads(s_.memory) * sizeof(T)));
    space += align_up(s_.packed_heads(s_.length) * sizeof(T));
    C* const dweights = output<C>(outputs, 0);
    if (s_.head % kPack<T> == 0)
      run_packed<Pack<T, kPack<T>>>(inputs, outputs, copy, values, dy, dweights, space);
    else
      run_packed<T>(inputs, outputs, copy, values, dy, dweights, space);
  }

 private:
  // X: what a head's elements are moved by.
  template <typename X>
  void run_packed(std::span<void* const> inputs, std::span<void* const> outputs, std::byte* copy, T* values, T* dy,
                  C* dweights, std::byte* space) const {
    const auto batch = static_cast<int>(s_.batch), length = static_cast<int>(s_.length),
               memory = static_cast<int>(s_.memory), heads = static_cast<int>(s_.heads),
               head = static_cast<int>(s_.head / static_cast<int64_t>(sizeof(X) / sizeof(T)));
    const int64_t of_values = s_.batch * s_.memory * s_.heads * head, of_dy = s_.batch * s_.length * s_.heads * head;
    launch(stream_, {"pack_heads_kernel", blocks_for(of_values)}, pack_heads_kernel<X>, input<X>(inputs, 1),
           reinterpret_cast<X*>(values), batch, memory, heads, head);
    launch(stream_, {"pack_heads_kernel", blocks_for(of_dy)}, pack_heads_kernel<X>, input<X>(inputs, 2),
           reinterpret_cast<X*>(dy), batch, length, heads, head);
    weights_product_.run(stream_, dy, values, dweights, space);
    if (causal_)
      launch(stream_, {"clear_above_kernel", blocks_for(s_.weights())}, clear_above_kernel<C>, dweights, heads, length,
             memory);
    values_product_.run(stream_, rounded_weights<T>(stream_, s_, inputs[0], copy), dy, values, space);
    launch(stream_, {"unpack_heads_kernel", blocks_for(of_values)}, unpack_heads_kernel<X>,
           reinterpret_cast<const X*>(values), output<X>(outputs, 1), batch, memory, heads, head,
           causal_ ? length : memory);
  }

  SharedSizes s_;
  cudaStream_t stream_;
  bool causal_;
  CausalProduct weights_product_, values_product_;
};

int64_t gradient_workspace(const KernelCase& c) {
  const SharedSizes s(c, 1);
  const int64_t size = size_of(s.dtype);
  return s.weights_bytes() + align_up(s.packed_heads(s.memory) * size) + align_up(s.packed_heads(s.length) * size) +
         c.context.products->workspace_bytes();
}

}  // namespace

std::span<const KernelEntry> shared_product_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(SharedProduct), make_by_output<SharedProductKernel>, workspace_by_output<SharedProductKernel>},
      {&typeid(SharedProductGradient), (make_by_input<SharedProductGradientKernel, 1>), gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer::cuda
