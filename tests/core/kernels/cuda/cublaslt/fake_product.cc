#include "tests/core/kernels/cuda/cublaslt/fake_product.h"

#include <cmath>
#include <cstring>

#include "core/tensor/bfloat16.h"

namespace {

using synthesizer::BFloat16;

bool fits(const FakeLayout& matrix) {
  return matrix.rows > 0 && matrix.columns > 0 && matrix.leading >= static_cast<int64_t>(matrix.rows) &&
         matrix.count > 0;
}

// Rounded to the 10 bits of TF32.
float as_tf32(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (std::isfinite(x)) bits = (bits + 0x1000) & ~uint32_t{0x1FFF};
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

template <typename T>
auto element(const void* data, const FakeLayout& matrix, int64_t batch, int64_t row, int64_t column) {
  return synthesizer::widened(static_cast<const T*>(data)[batch * matrix.stride + column * matrix.leading + row]);
}

// Where the bit of a row and a column is.
struct Bit {
  Bit(const FakeProduct& p, int64_t batch, int64_t row, int64_t column) {
    const int64_t index = batch * p.of.aux_stride + column * p.of.aux_leading + row;
    byte = static_cast<unsigned char*>(p.of.aux) + index / 8;
    mask = static_cast<unsigned char>(p.bits_reversed ? 0x80 >> index % 8 : 1 << index % 8);
  }
  void set(bool value) const { *byte = static_cast<unsigned char>(value ? *byte | mask : *byte & ~mask); }
  bool get() const { return (*byte & mask) != 0; }

  unsigned char* byte;
  unsigned char mask;
};

template <typename C, typename Out>
C with_epilogue(const FakeProduct& p, C x, int64_t batch, int64_t row, int64_t column) {
  if (p.of.has(kFakeBias))
    x += synthesizer::widened(static_cast<const Out*>(p.of.bias)[batch * p.of.bias_stride + row]);
  if (p.of.has(kFakeRelu) && p.of.has(kFakeAux)) Bit(p, batch, row, column).set(x > 0);
  if (p.of.has(kFakeRelu)) x = std::isnan(x) && !p.nan_swallowed ? x : x > 0 ? x : 0;
  if (p.of.has(kFakeDRelu) && !Bit(p, batch, row, column).get()) x = 0;
  return x;
}

template <typename In, typename Out>
void multiply_as(const FakeProduct& p) {
  using C = decltype(synthesizer::widened(In()));
  const bool tf32 = p.of.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  const auto input = [&](const void* data, const FakeLayout& matrix, cublasOperation_t operation, int64_t batch,
                         int64_t row, int64_t column) {
    const C x = operation == CUBLAS_OP_N ? element<In>(data, matrix, batch, row, column)
                                         : element<In>(data, matrix, batch, column, row);
    return tf32 ? static_cast<C>(as_tf32(static_cast<float>(x))) : x;
  };
  const auto depth = static_cast<int64_t>(p.of.a == CUBLAS_OP_N ? p.a.columns : p.a.rows);
  for (int64_t batch = 0; batch < p.d.count; ++batch)
    for (int64_t column = 0; column < static_cast<int64_t>(p.d.columns); ++column)
      for (int64_t row = 0; row < static_cast<int64_t>(p.d.rows); ++row) {
        C sum = 0;
        for (int64_t k = 0; k < depth; ++k)
          sum += input(p.a_data, p.a, p.of.a, batch, row, k) * input(p.b_data, p.b, p.of.b, batch, k, column);
        sum *= static_cast<C>(p.alpha);
        // C is not read where beta is 0.
        if (p.beta != 0) sum += static_cast<C>(p.beta) * element<Out>(p.c_data, p.c, batch, row, column);
        static_cast<Out*>(p.d_data)[batch * p.d.stride + column * p.d.leading + row] =
            synthesizer::rounded<Out>(with_epilogue<C, Out>(p, sum, batch, row, column));
      }
}

}  // namespace

int64_t fake_size_of(cudaDataType_t type) { return type == CUDA_R_16BF ? 2 : type == CUDA_R_32F ? 4 : 8; }

cublasStatus_t FakeProduct::check() const {
  constexpr auto kWrong = CUBLAS_STATUS_INVALID_VALUE;
  for (const FakeLayout* matrix : {&a, &b, &c, &d})
    if (!fits(*matrix) || matrix->count != d.count) return kWrong;
  const bool a_plain = of.a == CUBLAS_OP_N, b_plain = of.b == CUBLAS_OP_N;
  if ((a_plain ? a.rows : a.columns) != d.rows || (b_plain ? b.columns : b.rows) != d.columns) return kWrong;
  if ((a_plain ? a.columns : a.rows) != (b_plain ? b.rows : b.columns)) return kWrong;
  if (c.rows != d.rows || c.columns != d.columns || c.type != d.type) return kWrong;
  if (c_data == d_data && (c.leading != d.leading || c.stride != d.stride)) return kWrong;
  // The results of a batch must not overlap.
  const auto extent = (static_cast<int64_t>(d.columns) - 1) * d.leading + static_cast<int64_t>(d.rows);
  if (d.count > 1 && d.stride < static_cast<int64_t>(d.rows)) return kWrong;
  if (d.count > 1 && d.stride < extent && d.leading < (d.count - 1) * d.stride + static_cast<int64_t>(d.rows))
    return kWrong;

  const bool wide = a.type == CUDA_R_64F;
  const bool in_64 = wide && d.type == CUDA_R_64F && of.compute == CUBLAS_COMPUTE_64F && of.scale == CUDA_R_64F;
  const bool in_32 = a.type == CUDA_R_32F && d.type == CUDA_R_32F &&
                     (of.compute == CUBLAS_COMPUTE_32F || of.compute == CUBLAS_COMPUTE_32F_FAST_TF32);
  const bool in_16 =
      a.type == CUDA_R_16BF && (d.type == CUDA_R_16BF || d.type == CUDA_R_32F) && of.compute == CUBLAS_COMPUTE_32F;
  if (a.type != b.type || !(in_64 || ((in_32 || in_16) && of.scale == CUDA_R_32F))) return CUBLAS_STATUS_NOT_SUPPORTED;

  if (of.epilogue != CUBLASLT_EPILOGUE_DEFAULT && wide) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (of.has(kFakeBias)) {
    if (of.bias == nullptr || (of.bias_type != -1 && of.bias_type != d.type)) return kWrong;
    if (reinterpret_cast<uintptr_t>(of.bias) % static_cast<uintptr_t>(fake_size_of(d.type)) != 0) return kWrong;
  }
  if (of.has(kFakeAux)) {
    if (of.aux == nullptr || reinterpret_cast<uintptr_t>(of.aux) % 16 != 0) return kWrong;
    if (of.aux_leading % 128 != 0 || of.aux_leading < static_cast<int64_t>(d.rows)) return kWrong;
    if (of.aux_stride % 128 != 0) return kWrong;
  }
  return CUBLAS_STATUS_SUCCESS;
}

void FakeProduct::multiply() const {
  if (a.type == CUDA_R_64F) return multiply_as<double, double>(*this);
  if (a.type == CUDA_R_32F) return multiply_as<float, float>(*this);
  if (d.type == CUDA_R_32F) return multiply_as<BFloat16, float>(*this);
  multiply_as<BFloat16, BFloat16>(*this);
}
