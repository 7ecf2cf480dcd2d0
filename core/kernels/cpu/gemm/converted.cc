// bfloat16 products on machines without instructions for them: the matrices of one batch index at a time become dense
// float32 in the workspace, and the product is one of float32. Right, not fast.
#include "core/base/error.h"
#include "core/kernels/cpu/gemm/libraries.h"
#include "core/kernels/cpu/parallel.h"
#include "core/tensor/bfloat16.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

// The same product of dense matrices, without batch.
Product dense(const Product& product) {
  Product p;
  p.m = product.m;
  p.n = product.n;
  p.k = product.k;
  p.a = {{0, 0}, p.k, 1};
  p.b = {{0, 0}, p.n, 1};
  p.c = {{0, 0}, p.n, 1};
  return p;
}

int64_t matrix_bytes(int64_t rows, int64_t columns) { return align_up(rows * columns * size_of(DType::kFloat32)); }

class ConvertedGemm : public Gemm {
 public:
  ConvertedGemm(const Product& product, int threads)
      : p_(product),
        threads_(threads),
        gemm_(make_onednn_gemm(dense(product), threads, onednn_workspace(dense(product), threads))) {
    CHECK(p_.dtype == DType::kBFloat16, "a product of {}", to_string(p_.dtype));
  }

  void run(const void* a, const void* b, void* c, void* workspace) const override {
    auto* space = static_cast<std::byte*>(workspace);
    auto* wide_a = reinterpret_cast<float*>(space);
    auto* wide_b = reinterpret_cast<float*>(space += matrix_bytes(p_.m, p_.k));
    auto* wide_c = reinterpret_cast<float*>(space += matrix_bytes(p_.k, p_.n));
    space += matrix_bytes(p_.m, p_.n);
    for (int64_t i = 0; i < p_.batch[0]; ++i)
      for (int64_t j = 0; j < p_.batch[1]; ++j) {
        const auto at = [&](const MatrixStrides& s) { return i * s.batch[0] + j * s.batch[1]; };
        widen(static_cast<const BFloat16*>(a) + at(p_.a), p_.a, p_.m, p_.k, wide_a);
        widen(static_cast<const BFloat16*>(b) + at(p_.b), p_.b, p_.k, p_.n, wide_b);
        gemm_->run(wide_a, wide_b, wide_c, space);
        if (p_.wide)
          put(wide_c, static_cast<float*>(c) + at(p_.c));
        else
          put(wide_c, static_cast<BFloat16*>(c) + at(p_.c));
      }
  }

 private:
  void widen(const BFloat16* from, const MatrixStrides& s, int64_t rows, int64_t columns, float* to) const {
    parallel_ranges(threads_, rows, columns, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t x = 0; x < columns; ++x) to[r * columns + x] = to_float(from[r * s.row + x * s.column]);
    });
  }

  template <typename T>
  void put(const float* from, T* to) const {
    parallel_ranges(threads_, p_.m, p_.n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t x = 0; x < p_.n; ++x) {
          T& out = to[r * p_.c.row + x * p_.c.column];
          const float sum = from[r * p_.n + x];
          out = rounded<T>(p_.accumulate ? widened(out) + sum : sum);
        }
    });
  }

  Product p_;
  int threads_;
  std::unique_ptr<Gemm> gemm_;
};

}  // namespace

int64_t converted_workspace(const Product& product, int threads) {
  return matrix_bytes(product.m, product.k) + matrix_bytes(product.k, product.n) + matrix_bytes(product.m, product.n) +
         onednn_workspace(dense(product), threads);
}

std::unique_ptr<Gemm> make_converted_gemm(const Product& product, int threads) {
  return std::make_unique<ConvertedGemm>(product, threads);
}

}  // namespace synthesizer
