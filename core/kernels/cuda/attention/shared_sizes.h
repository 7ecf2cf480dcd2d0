// Sizes of an alignment that all examples share, and its rounding to the type that products take.
#pragma once

#include "core/kernels/cuda/kernel_case.h"
#include "core/tensor/storage.h"

namespace synthesizer::cuda {

// Of an alignment [heads, length, memory_length], the first input, and V [batch, memory_length, heads, head].
struct SharedSizes {
  // `values`: which input V is.
  SharedSizes(const KernelCase& c, size_t values) : dtype(c.inputs[values].dtype), wide(compute_type(dtype)) {
    const std::vector<Dim>&alignment = c.in(0).dims(), &v = c.in(values).dims();
    heads = alignment[0].size;
    length = alignment[1].size;
    memory = alignment[2].size;
    batch = v[0].size;
    head = v[3].size;
    columns = (batch * (head + 1) + 15) / 16 * 16;
  }
  int64_t weights() const { return heads * length * memory; }
  // Of the weights rounded for products; they are of the wide type.
  int64_t weights_bytes() const { return dtype == wide ? 0 : align_up(weights() * size_of(dtype)); }
  // Elements of V, packed as [heads, rows, batch·head].
  int64_t packed_heads(int64_t rows) const { return heads * rows * batch * head; }
  // Bytes of what is packed as [heads, rows, columns], for products, and of their sums.
  int64_t packed_bytes(int64_t rows) const { return align_up(heads * rows * columns * size_of(dtype)); }
  int64_t sums_bytes(int64_t rows) const { return align_up(heads * rows * columns * size_of(wide)); }

  DType dtype, wide;  // of V and Y; of the alignment
  int64_t heads, length, memory, batch, head, columns;
};

// The alignment as products take it: in `copy`, of weights_bytes(), where it is of another type.
template <typename T>
const void* rounded_weights(cudaStream_t stream, const SharedSizes& s, const void* weights, void* copy);

}  // namespace synthesizer::cuda
