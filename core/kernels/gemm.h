// Matrix products, the one header behind which their kernels are: float32 and bfloat16 by panels on machines with
// AVX-512 and by oneDNN elsewhere, float64 by OpenBLAS.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "core/graph/kernel.h"
#include "core/ops/einsum.h"
#include "core/tensor/dtype.h"

namespace synthesizer {

// Where the elements of an operand are: strides in elements. A batch stride of 0: the same matrix for all.
struct MatrixStrides {
  int64_t batch[2] = {0, 0};
  int64_t row = 0, column = 0;
};

// What of a product is to be multiplied at all. More may be, so where A is not to be looked at it must be zero; what C
// has where it is not asked for is not specified.
enum class Triangle {
  kNone,
  kLowerA,  // A[i, k] of k <= i
  kUpperA,  // A[i, k] of k >= i
  kLowerC,  // C[i, j] of j <= i
};

// What is done to an element of C before it is stored, where takes_epilogue().
enum class ProductEpilogue {
  kNone,
  kRelu,      // x < 0 ? 0 : x
  kGate,      // x · (g > 0 ? 1 : 0), g of EpilogueData::gate
  kReluMask,  // kRelu, and tells in EpilogueData::mask whether it is above 0
  kMask,      // x, or 0 where EpilogueData::mask says no; the product of NaN there may be NaN
};

// What an epilogue needs besides.
struct EpilogueData {
  const void* gate = nullptr;  // lies as C does
  const void* bias = nullptr;  // of Product::bias, of C's type
  void* mask = nullptr;        // of an unbatched C, as core/ops/einsum.h has it
};

// C[i, j] = A[i, j]·B[i, j] (+ C[i, j]) for all i < batch[0], j < batch[1]; A is m × k, B is k × n, C is m × n.
// A and B have unit stride along rows or columns, C along columns (exchange A and B for one with unit stride along
// rows). C's matrices do not overlap each other, A or B.
struct Product {
  DType dtype = DType::kFloat32;  // of A and B, and of C unless
  bool wide = false;              // C is of compute_type(dtype): bfloat16 products are summed in float32 in any case
  int64_t batch[2] = {1, 1};
  int64_t m = 1, n = 1, k = 1;
  MatrixStrides a, b, c;
  bool accumulate = false;
  Triangle triangle = Triangle::kNone;
  bool bias = false;               // EpilogueData::bias[j] is added to C[…, j], before the epilogue
  int64_t bias_batch[2] = {0, 0};  // its strides
  ProductEpilogue epilogue = ProductEpilogue::kNone;
  int64_t most_m = 0;  // of products that share a prepared B and differ in m: the largest m

  bool is_plain() const { return !bias && epilogue == ProductEpilogue::kNone; }
  DType c_type() const { return wide ? compute_type(dtype) : dtype; }
  int64_t flops() const {
    const auto lower = [](int64_t rows, int64_t columns) {  // elements on and below the diagonal
      const int64_t square = std::min(rows, columns);
      return square * (square + 1) / 2 + (rows - square) * columns;
    };
    const int64_t terms = triangle == Triangle::kLowerA   ? lower(m, k) * n
                          : triangle == Triangle::kUpperA ? lower(k, m) * n
                          : triangle == Triangle::kLowerC ? lower(m, n) * k
                                                          : m * n * k;
    return 2 * batch[0] * batch[1] * terms;
  }
};

// How many threads, and whether the bits of a result may depend on that: the inner dimension of a product with a small
// result and a long inner dimension may be split among them, which is faster.
struct GemmThreads {
  int count = 1;
  bool same_bits = false;
};

// A prepared product; run() allocates nothing of its own (oneDNN makes a small table of arguments a call).
class Gemm {
 public:
  virtual ~Gemm() = default;
  virtual void run(const void* a, const void* b, void* c, void* workspace) const = 0;
  // Of a product with a bias, a gate or a mask.
  virtual void run_with(const EpilogueData& data, const void* a, const void* b, void* c, void* workspace) const;

  // For several products with one B: makes of it what run_prepared() reads fastest, in `memory` of
  // gemm_prepared_bytes(), or gives B itself, which must then stay. One Gemm of those that share most_m does it for
  // all.
  virtual const void* prepare(const void* b, void* memory) const {
    static_cast<void>(memory);
    return b;
  }
  virtual void run_prepared(const void* a, const void* prepared, void* c, void* workspace) const {
    run(a, prepared, c, workspace);
  }
};

// Whether make_gemm() makes this product with its bias and its epilogue: products by panels do, but with masks.
bool takes_epilogue(const Product& product);
// Bytes of workspace: by a formula, asks no library.
int64_t gemm_workspace(const Product& product, GemmThreads threads);
// Enough for every product of no more rows, columns and depth, which may go another way than `product` itself.
int64_t gemm_workspace_up_to(const Product& product, GemmThreads threads);
// Of one matrix B, prepared.
int64_t gemm_prepared_bytes(const Product& product);
// Adds flops() to `counters` (may be null) at each run.
std::unique_ptr<Gemm> make_gemm(const Product& product, GemmThreads threads, KernelCounters* counters);

}  // namespace synthesizer
