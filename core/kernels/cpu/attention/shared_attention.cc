// Applying one alignment to a whole batch: one product a head for all examples. The values are packed as
// [heads, memory_length, batch·head] with masked rows, and a column an example holds its mask, so that the same product
// gives the divisor D (and, in the gradient, takes off the mean). Rows whose D underflows are computed on their own.
#include "core/ops/shared_attention.h"

#include <algorithm>

#include "core/kernels/cpu/attention/pack.h"
#include "core/kernels/cpu/attention/shared_rows.h"
#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/kernels/gemm.h"
#include "core/kernels/shared_products.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

Triangle if_causal(bool causal, Triangle triangle) { return causal ? triangle : Triangle::kNone; }

// Z [heads, length, columns] = A · P; P [heads, memory_length, columns].
Product forward_product(const SharedSizes& s, bool causal) {
  return product_of_heads(s, s.length, s.columns, s.memory, false, false, if_causal(causal, Triangle::kLowerA));
}
// dA [heads, length, memory_length] = G · Pᵀ; G [heads, length, columns].
Product weights_product(const SharedSizes& s, bool causal) {
  return product_of_heads(s, s.length, s.memory, s.columns, false, true, if_causal(causal, Triangle::kLowerC));
}
// dP [heads, memory_length, columns] = Aᵀ · G.
Product values_product(const SharedSizes& s, bool causal) {
  return product_of_heads(s, s.memory, s.columns, s.length, true, false, if_causal(causal, Triangle::kUpperA));
}

int64_t rows_workspace(const SharedSizes& s, int threads) { return threads * s.thread_bytes(); }

int64_t forward_workspace(const KernelCase& c) {
  const SharedSizes s(c, 2);
  return s.weights_bytes() + s.packed_bytes(s.memory) + s.sums_bytes(s.length) + rows_workspace(s, c.context.threads) +
         gemm_workspace(forward_product(s, c.as<SharedAttention>().causal()), c.context.gemm_threads());
}
int64_t gradient_workspace(const KernelCase& c) {
  const SharedSizes s(c, 2);
  const bool causal = c.as<SharedAttentionGradient>().causal();
  return s.weights_bytes() + s.sums_bytes(s.memory) + s.packed_bytes(s.length) + rows_workspace(s, c.context.threads) +
         std::max(gemm_workspace(weights_product(s, causal), c.context.gemm_threads()),
                  gemm_workspace(values_product(s, causal), c.context.gemm_threads()));
}

// 1 as T.
template <typename T>
T one(const CpuContext& context) {
  const Compute<T> wide = 1;
  T value;
  context.loops.of<T>().store(&wide, &value, 1);
  return value;
}

// P[head, j, (example, a)] = m·V, P[head, j, example's own column] = m, 0 in what rounds the columns up.
template <typename T>
void pack_values(const SharedSizes& s, const CpuContext& context, const T* v, const int32_t* mask, T* packed) {
  const T live_mask = one<T>(context);
  parallel_ranges(context.threads, s.heads * s.memory, s.columns, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t head = row / s.memory, j = row % s.memory;
      T* out = packed + row * s.columns;
      for (int64_t b = 0; b < s.batch; ++b) {
        const bool live = mask[b * s.memory + j] != 0;
        const T* from = v + s.value(b, j, head);
        if (live)
          std::copy_n(from, s.head, out + b * s.head);
        else
          std::fill_n(out + b * s.head, s.head, T{});
        out[s.batch * s.head + b] = live ? live_mask : T{};
      }
      std::fill(out + s.batch * (s.head + 1), out + s.columns, T{});
    }
  });
}

template <typename T>
class SharedAttentionKernel : public Kernel {
 public:
  explicit SharedAttentionKernel(const KernelCase& c)
      : s_(c, 2),
        rows_(s_, c.context, c.as<SharedAttention>().causal()),
        context_(c.context),
        product_(make_gemm(forward_product(s_, c.as<SharedAttention>().causal()), c.context.gemm_threads(),
                           c.context.counters)) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const C *logits = input<C>(inputs, 0), *weights = input<C>(inputs, 1);
    const T* v = input<T>(inputs, 2);
    const int32_t* mask = input<int32_t>(inputs, 3);
    T* y = output<T>(outputs, 0);
    C* d = output<C>(outputs, 1);
    std::byte* space = static_cast<std::byte*>(workspace);
    T* copy = reinterpret_cast<T*>(space);
    T* packed = reinterpret_cast<T*>(space += s_.weights_bytes());
    C* mixed = reinterpret_cast<C*>(space += s_.packed_bytes(s_.memory));
    std::byte* buffers = space += s_.sums_bytes(s_.length);
    space += rows_workspace(s_, context_.threads);
    pack_values(s_, context_, v, mask, packed);
    product_->run(rounded_weights(context_, weights, s_.weights(), copy), packed, mixed, space);
    const auto store = context_.loops.of<T>().store;
    parallel_ranges(context_.threads, s_.heads * s_.length, s_.columns, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t head = row / s_.length, i = row % s_.length;
        C* from = mixed + row * s_.columns;
        for (int64_t b = 0; b < s_.batch; ++b) {
          const C divisor = from[s_.batch * s_.head + b];
          T* out = y + s_.query(b, i, head);
          d[s_.divisor(b, i, head)] = divisor;
          if (rows_.underflows(divisor)) {
            rows_.attend(b, head, i, logits, v, mask, out, buffers);
          } else {
            const C factor = C(1) / divisor;
            C* sums = from + b * s_.head;
            for (int64_t a = 0; a < s_.head; ++a) sums[a] *= factor;
            store(sums, out, s_.head);
          }
        }
      }
    });
  }

 private:
  using C = Compute<T>;
  SharedSizes s_;
  SharedRows<T> rows_;
  CpuContext context_;
  std::unique_ptr<Gemm> product_;
};

template <typename T>
class SharedAttentionGradientKernel : public Kernel {
 public:
  explicit SharedAttentionGradientKernel(const KernelCase& c)
      : s_(c, 2),
        causal_(c.as<SharedAttentionGradient>().causal()),
        rows_(s_, c.context, causal_),
        context_(c.context),
        loops_(c.context.loops.of<T>()),
        weights_product_(make_gemm(weights_product(s_, causal_), c.context.gemm_threads(), c.context.counters)),
        values_product_(make_gemm(values_product(s_, causal_), c.context.gemm_threads(), c.context.counters)) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const C *logits = input<C>(inputs, 0), *weights = input<C>(inputs, 1), *d = input<C>(inputs, 5);
    const T* v = input<T>(inputs, 2);
    const int32_t* mask = input<int32_t>(inputs, 3);
    const T *y = input<T>(inputs, 4), *dy = input<T>(inputs, 6);
    C* dlogits = output<C>(outputs, 0);
    T* dv = output<T>(outputs, 1);
    std::byte* space = static_cast<std::byte*>(workspace);
    T* copy = reinterpret_cast<T*>(space);
    T* packed = reinterpret_cast<T*>(space += s_.weights_bytes());
    C* sums = reinterpret_cast<C*>(packed);  // once the packed values are not needed any more
    T* scaled = reinterpret_cast<T*>(space += s_.sums_bytes(s_.memory));
    std::byte* buffers = space += s_.packed_bytes(s_.length);
    space += rows_workspace(s_, context_.threads);
    pack_values(s_, context_, v, mask, packed);
    pack_gradient(y, d, dy, scaled);
    weights_product_->run(scaled, packed, dlogits, space);
    parallel_ranges(context_.threads, s_.heads * s_.length, s_.memory, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t seen = causal_ ? std::min(row % s_.length + 1, s_.memory) : s_.memory;
        C* const at = dlogits + row * s_.memory;
        context_.loops.of<C>().binary[2](at, 1, weights + row * s_.memory, 1, at, seen);
        std::fill_n(at + seen, s_.memory - seen, C(0));  // not asked for of the product
      }
    });
    values_product_->run(rounded_weights(context_, weights, s_.weights(), copy), scaled, sums, space);
    unpack_values(sums, mask, dv);
    rows_.add_gradients(logits, v, mask, y, d, dy, dlogits, dv, buffers);
  }

 private:
  using C = Compute<T>;

  // G[head, i, (example, a)] = dY/D, G[head, i, example's own column] = −dY·Y/D; 0 where D underflows.
  void pack_gradient(const T* y, const C* d, const T* dy, T* scaled) const {
    parallel_ranges(context_.threads, s_.heads * s_.length, s_.columns, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t head = row / s_.length, i = row % s_.length;
        T* out = scaled + row * s_.columns;
        for (int64_t b = 0; b < s_.batch; ++b) {
          const C divisor = d[s_.divisor(b, i, head)];
          const int64_t at = s_.query(b, i, head);
          const C factor = rows_.underflows(divisor) ? C(0) : C(1) / divisor;
          loops_.multiply_by(dy + at, &factor, 0, out + b * s_.head, s_.head);
          const C mean = static_cast<C>(-loops_.dot(dy + at, y + at, s_.head)) * factor;
          loops_.store(&mean, out + s_.batch * s_.head + b, 1);
        }
        std::fill(out + s_.batch * (s_.head + 1), out + s_.columns, T{});
      }
    });
  }

  void unpack_values(const C* packed, const int32_t* mask, T* dv) const {
    parallel_ranges(context_.threads, s_.batch * s_.memory, s_.heads * s_.head, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t b = row / s_.memory, j = row % s_.memory;
        for (int64_t head = 0; head < s_.heads; ++head) {
          T* out = dv + s_.value(b, j, head);
          if (mask[row] != 0)
            loops_.store(packed + (head * s_.memory + j) * s_.columns + b * s_.head, out, s_.head);
          else
            std::fill_n(out, s_.head, T{});
        }
      }
    });
  }

  SharedSizes s_;
  bool causal_;
  SharedRows<T> rows_;
  CpuContext context_;
  Loops<T> loops_;
  std::unique_ptr<Gemm> weights_product_, values_product_;
};

}  // namespace

std::span<const KernelEntry> shared_attention_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(SharedAttention), (make_by_input<SharedAttentionKernel, 2>), forward_workspace},
      {&typeid(SharedAttentionGradient), (make_by_input<SharedAttentionGradientKernel, 2>), gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer
