// What libfake_cublaslt.so is asked to multiply, and the product itself.
#pragma once

#include <cublasLt.h>

// The library's handles for what they describe.
struct FakeLayout : cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  uint64_t rows, columns;
  int64_t leading;
  int32_t count = 1;
  int64_t stride = 0;
};

struct FakeDescription : cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  cublasOperation_t a = CUBLAS_OP_N, b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  int64_t bias_stride = 0;
  int32_t bias_type = -1;
  void* aux = nullptr;
  int64_t aux_leading = 0, aux_stride = 0;

  bool has(unsigned bit) const { return (static_cast<unsigned>(epilogue) & bit) != 0; }
};

// The bits that epilogues are made of.
inline constexpr unsigned kFakeRelu = 2, kFakeBias = 4, kFakeDRelu = 8, kFakeAux = 128;

struct FakeProduct {
  FakeDescription of;
  FakeLayout a, b, c, d;
  const void *a_data, *b_data, *c_data;
  void* d_data;
  double alpha, beta;
  bool bits_reversed, nan_swallowed;

  // The code that the documentation has for what is wrong with it, whatever the algorithm.
  cublasStatus_t check() const;
  void multiply() const;
};

int64_t fake_size_of(cudaDataType_t type);
