#include "core/kernels/cuda/cublaslt/description.h"

#include <algorithm>

#include "core/kernels/cuda/cublaslt/library.h"

namespace synthesizer::cuda {
namespace {

cudaDataType_t data_type(DType dtype) {
  return dtype == DType::kBFloat16 ? CUDA_R_16BF : dtype == DType::kFloat64 ? CUDA_R_64F : CUDA_R_32F;
}

cublasLtEpilogue_t epilogue_of(const Product& p) {
  unsigned bits = p.bias ? CUBLASLT_EPILOGUE_BIAS : 0;
  if (p.epilogue == ProductEpilogue::kRelu) bits |= CUBLASLT_EPILOGUE_RELU;
  if (p.epilogue == ProductEpilogue::kReluMask) bits |= CUBLASLT_EPILOGUE_RELU_AUX;
  if (p.epilogue == ProductEpilogue::kMask) bits |= CUBLASLT_EPILOGUE_DRELU;
  return bits == 0 ? CUBLASLT_EPILOGUE_DEFAULT : static_cast<cublasLtEpilogue_t>(bits);
}

}  // namespace

LibraryBatch::LibraryBatch(const Product& p) {
  const auto follows = [&](const int64_t strides[2]) { return strides[0] == strides[1] * p.batch[1]; };
  const bool one =
      p.batch[0] == 1 || p.batch[1] == 1 ||
      (follows(p.a.batch) && follows(p.b.batch) && follows(p.c.batch) && (!p.bias || follows(p.bias_batch)));
  const int inner = one && p.batch[1] == 1 ? 0 : 1;
  count = one ? p.batch[0] * p.batch[1] : p.batch[1];
  a = p.a.batch[inner];
  b = p.b.batch[inner];
  c = p.c.batch[inner];
  bias = p.bias_batch[inner];
  if (one) return;
  calls = p.batch[0];
  call_a = p.a.batch[0];
  call_b = p.b.batch[0];
  call_c = p.c.batch[0];
  call_bias = p.bias_batch[0];
}

DescriptionHandles::~DescriptionHandles() {
  for (const cublasLtMatrixLayout_t matrix : {a, b, c})
    if (matrix != nullptr) api.layout_destroy(matrix);
  if (product != nullptr) api.desc_destroy(product);
}

Description::Description(const CublasLt& library, const Product& p, bool tf32)
    : DescriptionHandles(library),
      bias_(p.bias),
      mask_(p.epilogue == ProductEpilogue::kReluMask || p.epilogue == ProductEpilogue::kMask),
      batch(p) {
  const cudaDataType_t type = data_type(p.dtype), result = data_type(p.c_type());
  const cudaDataType_t scale = p.dtype == DType::kFloat64 ? CUDA_R_64F : CUDA_R_32F;
  const cublasComputeType_t compute = p.dtype == DType::kFloat64           ? CUBLAS_COMPUTE_64F
                                      : p.dtype == DType::kFloat32 && tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                           : CUBLAS_COMPUTE_32F;
  api.check(api.desc_create(&product, compute, scale), "describing a product");
  const Operand first = operand(p.k, p.n, p.b), second = operand(p.m, p.k, p.a);
  set(CUBLASLT_MATMUL_DESC_TRANSA, first.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(CUBLASLT_MATMUL_DESC_TRANSB, second.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (!p.is_plain()) describe_epilogue(p);
  layout(&a, type, first, batch.b);
  layout(&b, type, second, batch.a);
  layout(&c, result, {false, p.n, p.m, std::max(p.c.row, p.n)}, batch.c);
}

// Ours is `rows` × `columns` with unit stride along either; read as theirs it is the transpose.
Description::Operand Description::operand(int64_t rows, int64_t columns, const MatrixStrides& strides) {
  const bool by_rows = strides.column == 1 || columns == 1;  // as it lies, theirs is columns × rows
  if (by_rows) return {false, columns, rows, std::max({strides.row, columns, int64_t{1}})};
  return {true, rows, columns, std::max({strides.column, rows, int64_t{1}})};
}

template <typename T>
void Description::set(cublasLtMatmulDescAttributes_t which, T value) const {
  api.check(api.desc_set(product, which, &value, sizeof value), "describing a product");
}

void Description::describe_epilogue(const Product& p) {
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(p));
  if (bias_) {
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<int32_t>(data_type(p.c_type())));
    if (batch.count > 1) set(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, batch.bias);
  }
  if (mask_) set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, mask_words(p.n) * 32);
}

void Description::set_data(const EpilogueData& data) const {
  if (bias_) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, data.bias);
  if (mask_) set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, data.mask);
}

void Description::layout(cublasLtMatrixLayout_t* matrix, cudaDataType_t type, const Operand& of, int64_t batch_stride) {
  api.check(
      api.layout_create(matrix, type, static_cast<uint64_t>(of.rows), static_cast<uint64_t>(of.columns), of.leading),
      "describing a matrix");
  const auto count = static_cast<int32_t>(batch.count);
  api.check(api.layout_set(*matrix, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count), "describing a batch");
  api.check(api.layout_set(*matrix, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &batch_stride, sizeof batch_stride),
            "describing a batch");
}

}  // namespace synthesizer::cuda
