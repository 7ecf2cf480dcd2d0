// float64 products: tiles of C, each by one single-threaded call of OpenBLAS, shared among OpenMP threads. The tiles
// depend on the shape alone and no inner dimension is split, so results do not depend on the number of threads.
#include <cblas.h>
#include <omp.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/kernels/cpu/gemm/libraries.h"

namespace synthesizer {
namespace {

constexpr int64_t kTileRows = 256, kTileColumns = 512;

struct Operand {
  CBLAS_TRANSPOSE transpose;
  int64_t leading;
};

// Unit stride along columns: as it is; along rows: transposed. A leading dimension is at least the other size.
Operand operand(const MatrixStrides& strides, int64_t rows, int64_t columns) {
  if (columns == 1 || strides.column == 1)
    if (rows == 1 || strides.row >= columns) return {CblasNoTrans, rows == 1 ? columns : strides.row};
  CHECK(rows == 1 || strides.row == 1, "no unit stride: {} x {}", strides.row, strides.column);
  return {CblasTrans, columns == 1 ? rows : strides.column};
}

class OpenBlasGemm : public Gemm {
 public:
  OpenBlasGemm(const Product& product, int threads)
      : p_(product),
        threads_(threads),
        a_(operand(product.a, product.m, product.k)),
        b_(operand(product.b, product.k, product.n)),
        c_leading_(product.m == 1 ? product.n : product.c.row) {
    // OpenBLAS's own threads would come on top of ours (and its pthread build has one pool for the whole process).
    const int openmp_threads = omp_get_max_threads();
    openblas_set_num_threads(1);
    omp_set_num_threads(openmp_threads);
  }

  void run(const void* a, const void* b, void* c, void*) const override {
    const int64_t row_tiles = (p_.m + kTileRows - 1) / kTileRows;
    const int64_t column_tiles = (p_.n + kTileColumns - 1) / kTileColumns;
    const int64_t tiles = p_.batch[0] * p_.batch[1] * row_tiles * column_tiles;
    const int threads = static_cast<int>(std::min<int64_t>(p_.flops() < 200000 ? 1 : threads_, tiles));
#pragma omp parallel num_threads(threads)
    {
      omp_set_num_threads(1);  // of this thread in this region: OpenBLAS's OpenMP build asks for it
#pragma omp for schedule(static)
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t column = tile % column_tiles, row = tile / column_tiles % row_tiles;
        const int64_t batch = tile / column_tiles / row_tiles;
        run_tile(static_cast<const double*>(a), static_cast<const double*>(b), static_cast<double*>(c),
                 batch / p_.batch[1], batch % p_.batch[1], row * kTileRows, column * kTileColumns);
      }
    }
  }

 private:
  static int64_t at(const MatrixStrides& s, int64_t i, int64_t j, int64_t row, int64_t column) {
    return i * s.batch[0] + j * s.batch[1] + row * s.row + column * s.column;
  }

  void run_tile(const double* a, const double* b, double* c, int64_t i, int64_t j, int64_t row, int64_t column) const {
    const int64_t rows = std::min(kTileRows, p_.m - row), columns = std::min(kTileColumns, p_.n - column);
    cblas_dgemm(CblasRowMajor, a_.transpose, b_.transpose, static_cast<int>(rows), static_cast<int>(columns),
                static_cast<int>(p_.k), 1.0, a + at(p_.a, i, j, row, 0), static_cast<int>(a_.leading),
                b + at(p_.b, i, j, 0, column), static_cast<int>(b_.leading), p_.accumulate ? 1.0 : 0.0,
                c + at(p_.c, i, j, row, column), static_cast<int>(c_leading_));
  }

  Product p_;
  int threads_;
  Operand a_, b_;
  int64_t c_leading_;
};

}  // namespace

std::unique_ptr<Gemm> make_openblas_gemm(const Product& product, int threads) {
  return std::make_unique<OpenBlasGemm>(product, threads);
}

}  // namespace synthesizer
