// The gradient of one alignment for a whole batch: products of what is packed as in shared_attention.cu, where the
// examples' own columns take off the mean; then what rows add whose D underflows.
#include "core/kernels/cuda/attention/causal_product.h"
#include "core/kernels/cuda/attention/shared_rows.h"
#include "core/ops/shared_attention.h"

namespace synthesizer::cuda {
namespace {

// dA [heads, length, memory_length] = G · Pᵀ; G [heads, length, columns].
Product weights_product(const SharedSizes& s, bool causal) {
  return product_of_heads(s, s.length, s.memory, s.columns, false, true, causal ? Triangle::kLowerC : Triangle::kNone);
}
// dP [heads, memory_length, columns] = Aᵀ · G.
Product values_product(const SharedSizes& s, bool causal) {
  return product_of_heads(s, s.memory, s.columns, s.length, true, false, causal ? Triangle::kUpperA : Triangle::kNone);
}

template <typename T>
__device__ Compute<T> dot_by_warp(const T* x, const T* y, int n) {
  Compute<T> sum = 0;
  for (int a = static_cast<int>(threadIdx.x) % kWarp; a < n; a += kWarp) sum += widened(x[a]) * widened(y[a]);
  return warp_reduce<Sum>(sum);
}

// G[head, i, (example, a)] = dY/D, G[head, i, example's own column] = −dY·Y/D; 0 where D underflows.
template <typename T>
__global__ void pack_gradient_kernel(SharedArguments<T> g, const T* y, const Compute<T>* divisors, const T* dy,
                                     T* packed) {
  using C = Compute<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  each_row_by_warp(g, [&](int b, int h, int i) {
    T* const out = packed + (static_cast<int64_t>(h) * g.length + i) * g.columns;
    const int64_t row = g.row(b, i, h);
    const T* const gradient = dy + row * g.head;
    const C divisor = divisors[row], factor = underflows(divisor) ? C(0) : C(1) / divisor;
    for (int a = lane; a < g.head; a += kWarp) out[b * g.head + a] = rounded<T>(widened(gradient[a]) * factor);
    const C dot = dot_by_warp(gradient, y + row * g.head, g.head);
    if (lane == 0) out[g.batch * g.head + b] = rounded<T>(-dot * factor);
    if (b == 0)
      for (int column = g.batch * (g.head + 1) + lane; column < g.columns; column += kWarp)
        out[column] = rounded<T>(C(0));
  });
}

// dS = A dA, a warp a row, zero above the diagonal, and what rows add whose D underflows: the examples in order.
template <typename T>
__global__ void logits_gradient_kernel(SharedArguments<T> g, const Compute<T>* weights, const T* y,
                                       const Compute<T>* divisors, const T* dy, Compute<T>* dlogits) {
  using C = Compute<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t rows = static_cast<int64_t>(g.heads) * g.length;
  for (int64_t row = thread_of_grid() / kWarp; row < rows; row += threads_of_grid() / kWarp) {
    const int h = static_cast<int>(row / g.length), i = static_cast<int>(row % g.length), seen = g.seen(i);
    C* const out = dlogits + row * g.memory;
    for (int j = lane; j < g.memory; j += kWarp) out[j] = j < seen ? out[j] * weights[row * g.memory + j] : C(0);
    for (int b = 0; b < g.batch; ++b) {
      const int64_t query = g.row(b, i, h);
      if (!underflows(divisors[query])) continue;
      const OwnSoftmax<T> softmax(g, b, h, i);
      const T* const gradient = dy + query * g.head;
      const C mean = dot_by_warp(gradient, y + query * g.head, g.head);
      for (int j = lane; j < seen; j += kWarp) {
        const C weight = softmax.weight(j);
        if (weight == 0) continue;
        C dot = 0;
        for (int a = 0; a < g.head; ++a) dot += widened(gradient[a]) * widened(g.values[g.value(b, j, h) + a]);
        out[j] += weight * (dot - mean);
      }
    }
  }
}

// dV of one example and head (a block) from its packed columns, 0 of masked keys and of those from `live` on, which no
// product made; then what rows add whose D underflows, in order.
template <typename T>
__global__ void values_gradient_kernel(SharedArguments<T> g, const Compute<T>* sums, const Compute<T>* divisors,
                                       const T* dy, T* dv, int live) {
  using C = Compute<T>;
  const int h = static_cast<int>(blockIdx.x) % g.heads, b = static_cast<int>(blockIdx.x) / g.heads;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int32_t* const mask = g.mask_row(b);
  int any = 0;
  for (int i = thread; i < g.length; i += threads) any |= underflows(divisors[g.row(b, i, h)]) ? 1 : 0;
  any = block_reduce<Largest>(any, 0, reinterpret_cast<int*>(shared_memory()));
  for (int at = thread; at < g.memory * g.head; at += threads) {
    const int j = at / g.head, a = at % g.head;
    const bool made = mask[j] != 0 && j < live;
    const C sum = made ? sums[(static_cast<int64_t>(h) * g.memory + j) * g.columns + b * g.head + a] : C(0);
    dv[g.value(b, j, h) + a] = rounded<T>(sum);
  }
  if (any == 0) return;
  for (int i = 0; i < g.length; ++i) {
    const int64_t query = g.row(b, i, h);
    if (!underflows(divisors[query])) continue;
    const OwnSoftmax<T> softmax(g, b, h, i);
    // Each thread adds to the same elements as before.
    for (int at = thread; at < g.memory * g.head; at += threads) {
      const int j = at / g.head, a = at % g.head;
      if (j >= softmax.seen) break;
      const C weight = softmax.weight(j);
      T& to = dv[g.value(b, j, h) + a];
      if (weight != 0) to = rounded<T>(widened(to) + weight * widened(dy[query * g.head + a]));
    }
  }
}

template <typename T>
class SharedAttentionGradientKernel : public Kernel {
 public:
  using C = Compute<T>;

  explicit SharedAttentionGradientKernel(const KernelCase& c)
      : s_(c, 2),
        stream_(c.context.stream),
        causal_(c.as<SharedAttentionGradient>().causal()),
        weights_product_(*c.context.products, weights_product(s_, causal_)),
        values_product_(*c.context.products, values_product(s_, causal_)) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const SharedArguments<T> g = shared_arguments<T>(s_, causal_, inputs[0], inputs[2], inputs[3]);
    const C *weights = input<C>(inputs, 1), *divisors = input<C>(inputs, 5);
    const T *y = input<T>(inputs, 4), *dy = input<T>(inputs, 6);
    C* const dlogits = output<C>(outputs, 0);
    std::byte* space = static_cast<std::byte*>(workspace);
    std::byte* const copy = space;
    T* const packed = reinterpret_cast<T*>(space += s_.weights_bytes());
    C* const sums = reinterpret_cast<C*>(packed);  // once the packed values are not needed any more
    T* const scaled = reinterpret_cast<T*>(space += s_.sums_bytes(s_.memory));
    space += s_.packed_bytes(s_.length);

    const int64_t rows = s_.heads * s_.length;
    pack_masked_values(stream_, g, packed);
    launch(stream_, {"pack_gradient_kernel", blocks_for(rows * s_.batch * kWarp)}, pack_gradient_kernel<T>, g, y,
           divisors, dy, scaled);
    weights_product_.run(stream_, scaled, packed, dlogits, space);
    launch(stream_, {"logits_gradient_kernel", blocks_for(rows * kWarp)}, logits_gradient_kernel<T>, g, weights, y,
           divisors, dy, dlogits);
    values_product_.run(stream_, rounded_weights<T>(stream_, s_, weights, copy), scaled, sums, space);
    launch(
        stream_,
        {"values_gradient_kernel", s_.batch * s_.heads, kThreads, kThreads / kWarp * static_cast<int64_t>(sizeof(int))},
        values_gradient_kernel<T>, g, sums, divisors, dy, output<T>(outputs, 1),
        static_cast<int>(causal_ ? std::min(s_.length, s_.memory) : s_.memory));
  }

 private:
  SharedSizes s_;
  cudaStream_t stream_;
  bool causal_;
  CausalProduct weights_product_, values_product_;
};

int64_t gradient_workspace(const KernelCase& c) {
  const SharedSizes s(c, 2);
  return s.weights_bytes() + s.sums_bytes(s.memory) + s.packed_bytes(s.length) + c.context.products->workspace_bytes();
}

}  // namespace

std::span<const KernelEntry> shared_attention_gradient_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(SharedAttentionGradient), (make_by_input<SharedAttentionGradientKernel, 2>), gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer::cuda
