// Products by plain loops, where the program is built without oneDNN and OpenBLAS (SYNTHESIZER_PRODUCT_LIBRARIES):
// right, not fast. A row of C is one thread's, so results do not depend on the number of threads.
#include <omp.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/kernels/cpu/gemm/libraries.h"

namespace synthesizer {
namespace {

template <typename T>
class PlainGemm : public Gemm {
 public:
  PlainGemm(const Product& product, int threads) : p_(product), threads_(threads) {}

  void run(const void* a, const void* b, void* c, void*) const override {
    const int64_t rows = p_.batch[0] * p_.batch[1] * p_.m;
    const int threads = static_cast<int>(std::min<int64_t>(p_.flops() < 200000 ? 1 : threads_, rows));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t matrix = row / p_.m, i = row % p_.m;
      const auto at = [&](const MatrixStrides& s) {
        return matrix / p_.batch[1] * s.batch[0] + matrix % p_.batch[1] * s.batch[1];
      };
      run_row(static_cast<const T*>(a) + at(p_.a) + i * p_.a.row, static_cast<const T*>(b) + at(p_.b),
              static_cast<T*>(c) + at(p_.c) + (p_.m == 1 ? 0 : i * p_.c.row));
    }
  }

 private:
  void run_row(const T* a, const T* b, T* c) const {
    if (!p_.accumulate) std::fill_n(c, p_.n, T{0});
    if (p_.b.column == 1 || p_.n == 1) {
      for (int64_t k = 0; k < p_.k; ++k) {
        const T factor = a[k * p_.a.column];
        const T* from = b + k * p_.b.row;
        for (int64_t j = 0; j < p_.n; ++j) c[j] += factor * from[j];
      }
      return;
    }
    for (int64_t j = 0; j < p_.n; ++j) {
      T sum = 0;
      for (int64_t k = 0; k < p_.k; ++k) sum += a[k * p_.a.column] * b[k * p_.b.row + j * p_.b.column];
      c[j] += sum;
    }
  }

  Product p_;
  int threads_;
};

}  // namespace

bool has_bfloat16_products() { return false; }  // gemm.cc makes them of float32 then

std::unique_ptr<Gemm> make_onednn_gemm(const Product& product, int threads, int64_t) {
  CHECK(product.dtype == DType::kFloat32, "a product of {}", to_string(product.dtype));
  return std::make_unique<PlainGemm<float>>(product, threads);
}

std::unique_ptr<Gemm> make_openblas_gemm(const Product& product, int threads) {
  return std::make_unique<PlainGemm<double>>(product, threads);
}

}  // namespace synthesizer
