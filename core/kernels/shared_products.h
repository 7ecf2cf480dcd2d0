// The matrix products of alignments that all examples share, one a head: R, Fix and FR. `Sizes` of each device's own
// has dtype, heads, length, memory, batch and head.
#pragma once

#include "core/kernels/gemm.h"

namespace synthesizer {

template <typename Sizes>
Product product_of(const Sizes& s, int64_t m, int64_t n, int64_t k, bool causal, Triangle triangle) {
  Product p;
  p.dtype = s.dtype;
  p.batch[0] = s.heads;
  p.m = m;
  p.n = n;
  p.k = k;
  if (causal) p.triangle = triangle;
  return p;
}

// Y = A · V, of each head and example.
template <typename Sizes>
Product forward_product(const Sizes& s, bool causal) {
  Product p = product_of(s, s.length, s.head, s.memory, causal, Triangle::kLowerA);
  const int64_t row = s.heads * s.head;
  p.batch[1] = s.batch;
  p.a = {{s.length * s.memory, 0}, s.memory, 1};
  p.b = {{s.head, s.memory * row}, row, 1};
  p.c = {{s.head, s.length * row}, row, 1};
  return p;
}
// dA = dY · Vᵀ, both packed.
template <typename Sizes>
Product weights_product(const Sizes& s, bool causal) {
  const int64_t columns = s.batch * s.head;
  Product p = product_of(s, s.length, s.memory, columns, causal, Triangle::kLowerC);
  p.wide = true;
  p.a = {{s.length * columns, 0}, columns, 1};
  p.b = {{s.memory * columns, 0}, 1, columns};
  p.c = {{s.length * s.memory, 0}, s.memory, 1};
  return p;
}
// dV = Aᵀ · dY, both packed.
template <typename Sizes>
Product values_product(const Sizes& s, bool causal) {
  const int64_t columns = s.batch * s.head;
  Product p = product_of(s, s.memory, columns, s.length, causal, Triangle::kUpperA);
  p.a = {{s.length * s.memory, 0}, 1, s.memory};
  p.b = {{s.length * columns, 0}, columns, 1};
  p.c = {{s.memory * columns, 0}, columns, 1};
  return p;
}

// C [heads, m, n] = A · B; a matrix that is stored by columns is the transposed one of what lies in memory by rows.
template <typename Sizes>
Product product_of_heads(const Sizes& s, int64_t m, int64_t n, int64_t k, bool a_by_columns, bool b_by_columns,
                         Triangle triangle) {
  Product p;
  p.triangle = triangle;
  p.dtype = s.dtype;
  p.wide = true;
  p.batch[0] = s.heads;
  p.m = m;
  p.n = n;
  p.k = k;
  p.a = a_by_columns ? MatrixStrides{{m * k, 0}, 1, m} : MatrixStrides{{m * k, 0}, k, 1};
  p.b = b_by_columns ? MatrixStrides{{k * n, 0}, 1, k} : MatrixStrides{{k * n, 0}, n, 1};
  p.c = {{m * n, 0}, n, 1};
  return p;
}

}  // namespace synthesizer
