// A product as cuBLASLt is told of it.
#pragma once

#include <cublasLt.h>

#include "core/kernels/gemm.h"

namespace synthesizer::cuda {

struct CublasLt;

// What the library does in one call; what it cannot is looped over.
struct LibraryBatch {
  explicit LibraryBatch(const Product& product);

  int64_t calls = 1, count = 1;
  int64_t call_a = 0, call_b = 0, call_c = 0, call_bias = 0;  // strides in elements
  int64_t a = 0, b = 0, c = 0, bias = 0;
};

// Destroyed whatever fails while they are made.
struct DescriptionHandles {
  explicit DescriptionHandles(const CublasLt& library) : api(library) {}
  ~DescriptionHandles();
  DescriptionHandles(const DescriptionHandles&) = delete;
  DescriptionHandles& operator=(const DescriptionHandles&) = delete;

  const CublasLt& api;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;  // theirs
};

// The library's matrices lie by columns, so it is given Cᵀ = Bᵀ·Aᵀ: its first operand is our B, its rows are
// our columns.
class Description : public DescriptionHandles {
 public:
  Description(const CublasLt& library, const Product& product, bool tf32);

  // Of what comes next: the library reads where it lies, and how it is aligned when an algorithm is chosen.
  void set_data(const EpilogueData& data) const;

 private:
  struct Operand {
    bool transposed;
    int64_t rows, columns, leading;
  };
  static Operand operand(int64_t rows, int64_t columns, const MatrixStrides& strides);
  template <typename T>
  void set(cublasLtMatmulDescAttributes_t which, T value) const;
  void describe_epilogue(const Product& product);
  void layout(cublasLtMatrixLayout_t* matrix, cudaDataType_t type, const Operand& of, int64_t batch_stride);

  bool bias_, mask_;

 public:
  LibraryBatch batch;
};

}  // namespace synthesizer::cuda
