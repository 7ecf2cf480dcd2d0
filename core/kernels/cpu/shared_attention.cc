// Applying one alignment to a whole batch: one product a head for all examples. The values are packed as
// [heads, memory_length, batch·head] with masked rows, and a column an example holds its mask, so that the same product
// gives the divisor D (and, in the gradient, takes off the mean). Rows whose D underflows are computed on their own.
#include "core/ops/shared_attention.h"

#include <algorithm>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/kernels/cpu/shared_rows.h"
#include "core/kernels/gemm.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

// Z [heads, length, columns] = A · P; P [heads, memory_length, columns].
Product forward_product(const SharedSizes& s) {
  Product p;
  p.dtype = s.dtype;
  p.batch[0] = s.heads;
  p.m = s.length;
  p.n = s.columns;
  p.k = s.memory;
  p.a = {{s.length * s.memory, 0}, s.memory, 1};
  p.b = {{s.memory * s.columns, 0}, s.columns, 1};
  p.c = {{s.length * s.columns, 0}, s.columns, 1};
  return p;
}

// dA [heads, length, memory_length] = G · Pᵀ; G [heads, length, columns].
Product weights_product(const SharedSizes& s) {
  Product p;
  p.dtype = s.dtype;
  p.batch[0] = s.heads;
  p.m = s.length;
  p.n = s.memory;
  p.k = s.columns;
  p.a = {{s.length * s.columns, 0}, s.columns, 1};
  p.b = {{s.memory * s.columns, 0}, 1, s.columns};
  p.c = {{s.length * s.memory, 0}, s.memory, 1};
  return p;
}

// dP [heads, memory_length, columns] = Aᵀ · G.
Product values_product(const SharedSizes& s) {
  Product p;
  p.dtype = s.dtype;
  p.batch[0] = s.heads;
  p.m = s.memory;
  p.n = s.columns;
  p.k = s.length;
  p.a = {{s.length * s.memory, 0}, 1, s.memory};
  p.b = {{s.length * s.columns, 0}, s.columns, 1};
  p.c = {{s.memory * s.columns, 0}, s.columns, 1};
  return p;
}

int64_t rows_workspace(const SharedSizes& s, int threads) { return threads * align_up(s.memory * size_of(s.dtype)); }

int64_t forward_workspace(const KernelCase& c) {
  const SharedSizes s(c, 2);
  return s.packed_bytes(s.memory) + s.packed_bytes(s.length) + rows_workspace(s, c.context.threads) +
         gemm_workspace(forward_product(s), c.context.gemm_threads());
}
int64_t gradient_workspace(const KernelCase& c) {
  const SharedSizes s(c, 2);
  return s.packed_bytes(s.memory) + s.packed_bytes(s.length) + rows_workspace(s, c.context.threads) +
         std::max(gemm_workspace(weights_product(s), c.context.gemm_threads()),
                  gemm_workspace(values_product(s), c.context.gemm_threads()));
}

// P[head, j, (example, a)] = m·V, P[head, j, example's own column] = m, 0 in what rounds the columns up.
template <typename T>
void pack_values(const SharedSizes& s, int threads, const T* v, const int32_t* mask, T* packed) {
  parallel_ranges(threads, s.heads * s.memory, s.columns, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t head = row / s.memory, j = row % s.memory;
      T* out = packed + row * s.columns;
      for (int64_t b = 0; b < s.batch; ++b) {
        const bool live = mask[b * s.memory + j] != 0;
        const T* from = v + s.value(b, j, head);
        if (live)
          std::copy_n(from, s.head, out + b * s.head);
        else
          std::fill_n(out + b * s.head, s.head, T(0));
        out[s.batch * s.head + b] = live ? T(1) : T(0);
      }
      std::fill(out + s.batch * (s.head + 1), out + s.columns, T(0));
    }
  });
}

template <typename T>
class SharedAttentionKernel : public Kernel {
 public:
  explicit SharedAttentionKernel(const KernelCase& c)
      : s_(c, 2),
        rows_(s_, c.context, c.as<SharedAttention>().causal()),
        threads_(c.context.threads),
        product_(make_gemm(forward_product(s_), c.context.gemm_threads(), c.context.counters)) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T *logits = input<T>(inputs, 0), *weights = input<T>(inputs, 1), *v = input<T>(inputs, 2);
    const int32_t* mask = input<int32_t>(inputs, 3);
    T *y = output<T>(outputs, 0), *d = output<T>(outputs, 1);
    std::byte* space = static_cast<std::byte*>(workspace);
    T* packed = reinterpret_cast<T*>(space);
    T* mixed = reinterpret_cast<T*>(space += s_.packed_bytes(s_.memory));
    T* buffers = reinterpret_cast<T*>(space += s_.packed_bytes(s_.length));
    space += rows_workspace(s_, threads_);
    pack_values(s_, threads_, v, mask, packed);
    product_->run(weights, packed, mixed, space);
    parallel_ranges(threads_, s_.heads * s_.length, s_.columns, [&](int64_t begin, int64_t end) {
      T* buffer = buffers + omp_get_thread_num() * align_up(s_.memory * size_of(s_.dtype)) / size_of(s_.dtype);
      for (int64_t row = begin; row < end; ++row) {
        const int64_t head = row / s_.length, i = row % s_.length;
        const T* from = mixed + row * s_.columns;
        for (int64_t b = 0; b < s_.batch; ++b) {
          const T divisor = from[s_.batch * s_.head + b];
          T* out = y + s_.query(b, i, head);
          d[s_.divisor(b, i, head)] = divisor;
          if (rows_.underflows(divisor)) {
            rows_.attend(b, head, i, logits, v, mask, out, buffer);
          } else {
            const T factor = T(1) / divisor;
            for (int64_t a = 0; a < s_.head; ++a) out[a] = from[b * s_.head + a] * factor;
          }
        }
      }
    });
  }

 private:
  SharedSizes s_;
  SharedRows<T> rows_;
  int threads_;
  std::unique_ptr<Gemm> product_;
};

template <typename T>
class SharedAttentionGradientKernel : public Kernel {
 public:
  explicit SharedAttentionGradientKernel(const KernelCase& c)
      : s_(c, 2),
        rows_(s_, c.context, c.as<SharedAttentionGradient>().causal()),
        threads_(c.context.threads),
        loops_(c.context.loops.of<T>()),
        weights_product_(make_gemm(weights_product(s_), c.context.gemm_threads(), c.context.counters)),
        values_product_(make_gemm(values_product(s_), c.context.gemm_threads(), c.context.counters)) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T *logits = input<T>(inputs, 0), *weights = input<T>(inputs, 1), *v = input<T>(inputs, 2);
    const int32_t* mask = input<int32_t>(inputs, 3);
    const T *y = input<T>(inputs, 4), *d = input<T>(inputs, 5), *dy = input<T>(inputs, 6);
    T *dlogits = output<T>(outputs, 0), *dv = output<T>(outputs, 1);
    std::byte* space = static_cast<std::byte*>(workspace);
    T* packed = reinterpret_cast<T*>(space);
    T* scaled = reinterpret_cast<T*>(space += s_.packed_bytes(s_.memory));
    T* buffers = reinterpret_cast<T*>(space += s_.packed_bytes(s_.length));
    space += rows_workspace(s_, threads_);
    pack_values(s_, threads_, v, mask, packed);
    pack_gradient(y, d, dy, scaled);
    weights_product_->run(scaled, packed, dlogits, space);
    const int64_t count = s_.heads * s_.length * s_.memory;
    parallel_ranges(threads_, count, 1, [&](int64_t begin, int64_t end) {
      loops_.binary[2](dlogits + begin, 1, weights + begin, 1, dlogits + begin, end - begin);
    });
    values_product_->run(weights, scaled, packed, space);  // the packed values are not needed any more
    unpack_values(packed, mask, dv);
    rows_.add_gradients(logits, v, mask, y, d, dy, dlogits, dv, buffers);
  }

 private:
  // G[head, i, (example, a)] = dY/D, G[head, i, example's own column] = −dY·Y/D; 0 where D underflows.
  void pack_gradient(const T* y, const T* d, const T* dy, T* scaled) const {
    parallel_ranges(threads_, s_.heads * s_.length, s_.columns, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t head = row / s_.length, i = row % s_.length;
        T* out = scaled + row * s_.columns;
        for (int64_t b = 0; b < s_.batch; ++b) {
          const T divisor = d[s_.divisor(b, i, head)];
          const int64_t at = s_.query(b, i, head);
          const T factor = rows_.underflows(divisor) ? T(0) : T(1) / divisor;
          for (int64_t a = 0; a < s_.head; ++a) out[b * s_.head + a] = dy[at + a] * factor;
          out[s_.batch * s_.head + b] = static_cast<T>(-loops_.dot(dy + at, y + at, s_.head)) * factor;
        }
        std::fill(out + s_.batch * (s_.head + 1), out + s_.columns, T(0));
      }
    });
  }

  void unpack_values(const T* packed, const int32_t* mask, T* dv) const {
    parallel_ranges(threads_, s_.batch * s_.memory, s_.heads * s_.head, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t b = row / s_.memory, j = row % s_.memory;
        for (int64_t head = 0; head < s_.heads; ++head) {
          T* out = dv + s_.value(b, j, head);
          if (mask[row] != 0)
            std::copy_n(packed + (head * s_.memory + j) * s_.columns + b * s_.head, s_.head, out);
          else
            std::fill_n(out, s_.head, T(0));
        }
      }
    });
  }

  SharedSizes s_;
  SharedRows<T> rows_;
  int threads_;
  Loops<T> loops_;
  std::unique_ptr<Gemm> weights_product_, values_product_;
};

}  // namespace

std::span<const KernelEntry> shared_attention_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(SharedAttention), make_floating<SharedAttentionKernel>, forward_workspace},
      {&typeid(SharedAttentionGradient), make_floating<SharedAttentionGradientKernel>, gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer
