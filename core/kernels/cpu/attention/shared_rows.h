// The rows of a shared alignment that cannot go with the others: where nearly all of a row's weight is on masked keys,
// its divisor D underflows, and the row is computed from the logits with the maximum of its own keys.
#pragma once

#include <algorithm>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/tensor/storage.h"

namespace synthesizer {

// Sizes of S [heads, length, memory_length], V [batch, memory_length, heads, head]; `columns` of the packed values.
struct SharedSizes {
  // `values`: which input V is; S is the first.
  SharedSizes(const KernelCase& c, size_t values) : dtype(c.inputs[values].dtype), wide(compute_type(dtype)) {
    const Shape &logits = c.in(0), &v = c.in(values);
    CHECK(logits.rank() == 3 && v.rank() == 4, "[{}] {} and {}", c.op.name(), logits.to_string(), v.to_string());
    heads = logits.dims()[0].size;
    length = logits.dims()[1].size;
    memory = logits.dims()[2].size;
    batch = v.dims()[0].size;
    head = v.dims()[3].size;
    CHECK(v.dims()[1].size == memory && v.dims()[2].size == heads, "[{}] {} and {}", c.op.name(), logits.to_string(),
          v.to_string());
    columns = (batch * (head + 1) + 15) / 16 * 16;
  }
  // Of V, packed, or what is multiplied with it: for products, and of their sums.
  int64_t packed_bytes(int64_t rows) const { return align_up(heads * rows * columns * size_of(dtype)); }
  int64_t sums_bytes(int64_t rows) const { return align_up(heads * rows * columns * size_of(wide)); }
  int64_t weights() const { return heads * length * memory; }
  // Of the weights rounded for products; they are of the wide type.
  int64_t weights_bytes() const { return dtype == wide ? 0 : align_up(weights() * size_of(dtype)); }
  // Of a thread: one row's weights and one head's sums.
  int64_t thread_bytes() const { return align_up((memory + head) * size_of(wide)); }
  int64_t value(int64_t b, int64_t j, int64_t h) const { return ((b * memory + j) * heads + h) * head; }
  int64_t query(int64_t b, int64_t i, int64_t h) const { return ((b * length + i) * heads + h) * head; }
  int64_t divisor(int64_t b, int64_t i, int64_t h) const { return (b * length + i) * heads + h; }

  DType dtype, wide;  // of V and Y; of S, its softmax and D
  int64_t heads, length, memory, batch, head, columns;
};

// T is V's type.
template <typename T>
class SharedRows {
 public:
  using C = Compute<T>;

  SharedRows(const SharedSizes& sizes, const CpuContext& context, bool causal)
      : s_(sizes),
        threads_(context.threads),
        loops_(context.loops.of<T>()),
        softmax_(context.loops.of<C>().softmax),
        causal_(causal) {}

  // Below this the weights that make up D may be denormal numbers, which have lost digits. (NaN goes with the others.)
  static bool underflows(C divisor) { return divisor < (sizeof(C) == 4 ? C(1e-20) : C(1e-200)); }

  // y[head] = the row's softmax over its own live keys, applied to V; 0 if it has none. `buffers`: thread_bytes() a
  // thread.
  void attend(int64_t b, int64_t h, int64_t i, const C* logits, const T* v, const int32_t* mask, T* y,
              std::byte* buffers) const {
    C* weights = buffer(buffers);
    C* sums = weights + s_.memory;
    const int64_t seen = softmax(b, h, i, logits, mask, weights);
    std::fill_n(sums, s_.head, C(0));
    for (int64_t j = 0; j < seen; ++j)
      if (weights[j] != 0) loops_.add_to(weights[j], v + s_.value(b, j, h), sums, s_.head);
    loops_.store(sums, y, s_.head);
  }

  // Adds these rows' part to dS and dV.
  void add_gradients(const C* logits, const T* v, const int32_t* mask, const T* y, const C* d, const T* dy, C* dlogits,
                     T* dv, std::byte* buffers) const {
    // Each thread owns rows of dS, then (example, head) pairs of dV: the order of the sums is fixed.
    parallel_ranges(threads_, s_.heads * s_.length, s_.batch, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        for (int64_t b = 0; b < s_.batch; ++b)
          if (underflows(d[s_.divisor(b, row % s_.length, row / s_.length)]))
            add_to_logits(b, row / s_.length, row % s_.length, logits, v, mask, y, dy, dlogits, buffer(buffers));
    });
    parallel_ranges(threads_, s_.batch * s_.heads, s_.length, [&](int64_t begin, int64_t end) {
      for (int64_t pair = begin; pair < end; ++pair)
        for (int64_t i = 0; i < s_.length; ++i)
          if (underflows(d[s_.divisor(pair / s_.heads, i, pair % s_.heads)]))
            add_to_values(pair / s_.heads, pair % s_.heads, i, logits, mask, dy, dv, buffer(buffers));
    });
  }

 private:
  C* buffer(std::byte* buffers) const {
    return reinterpret_cast<C*>(buffers + omp_get_thread_num() * s_.thread_bytes());
  }

  // How many keys were looked at.
  int64_t softmax(int64_t b, int64_t h, int64_t i, const C* logits, const int32_t* mask, C* weights) const {
    const int64_t seen = causal_ ? std::min(s_.memory, i + 1) : s_.memory;
    softmax_(logits + (h * s_.length + i) * s_.memory, nullptr, mask + b * s_.memory, weights, s_.memory, seen);
    return seen;
  }

  void add_to_logits(int64_t b, int64_t h, int64_t i, const C* logits, const T* v, const int32_t* mask, const T* y,
                     const T* dy, C* dlogits, C* weights) const {
    const int64_t seen = softmax(b, h, i, logits, mask, weights), at = s_.query(b, i, h);
    const double mean = loops_.dot(dy + at, y + at, s_.head);
    C* out = dlogits + (h * s_.length + i) * s_.memory;
    for (int64_t j = 0; j < seen; ++j)
      if (weights[j] != 0)
        out[j] += weights[j] * static_cast<C>(loops_.dot(dy + at, v + s_.value(b, j, h), s_.head) - mean);
  }

  void add_to_values(int64_t b, int64_t h, int64_t i, const C* logits, const int32_t* mask, const T* dy, T* dv,
                     C* weights) const {
    const int64_t seen = softmax(b, h, i, logits, mask, weights);
    for (int64_t j = 0; j < seen; ++j)
      if (weights[j] != 0) loops_.axpy(weights[j], dy + s_.query(b, i, h), dv + s_.value(b, j, h), s_.head);
  }

  SharedSizes s_;
  int threads_;
  Loops<T> loops_;
  decltype(Loops<C>::softmax) softmax_;
  bool causal_;
};

}  // namespace synthesizer
