// How an einsum becomes strided matrix products: dims are classed by the tensors that have them (batch, M, N, K),
// neighbours that all tensors walk alike are merged, one dim each is chosen for the product's m, n and k, the others
// are looped over.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/gemm.h"
#include "core/tensor/dims.h"

namespace synthesizer {

// One (merged) dim; the stride of a tensor without it is 0.
struct EinsumDim {
  int64_t size = 1;
  int64_t a = 0, b = 0, c = 0;
};

struct EinsumPlan {
  enum class Kind {
    kProducts,  // by make_gemm, once for each combination of `loops` and `sums`
    kSmall,     // by Loops::small_product, for each of `loops`, adding up over `sums`
    kRuns,      // no m and no n: by Loops::multiply along m (which is a batch dim here), for each of `loops`
  };
  Kind kind = Kind::kProducts;
  bool swapped = false;  // a and b have changed places
  EinsumDim m, n, k;
  EinsumDim batch[2];            // of kProducts: the loops that the library does
  std::vector<EinsumDim> loops;  // independent: batch dims and the M and N dims that are not m and n
  std::vector<EinsumDim> sums;   // K dims that are not k

  int64_t loop_count() const;
  int64_t sum_count() const;
  // Of one library call of kProducts.
  Product product(DType dtype, bool wide, bool accumulate) const;
  // Gives `product`, of this plan, a bias of so many elements, the last of C: the element of C's at flat index i is
  // i % elements. In each call its first element is C's. False where products cannot have it: it does not lie along n.
  bool add_bias(int64_t elements, Product& product) const;
};

// Where the element at flat index `index` of an index space of these dims is, the last dim fastest.
struct EinsumOffsets {
  int64_t a = 0, b = 0, c = 0;
};
EinsumOffsets einsum_offsets(const std::vector<EinsumDim>& dims, int64_t index);

EinsumPlan plan_einsum(const Shape& a, const Shape& b, const Shape& c);

}  // namespace synthesizer
