#include "core/kernels/cuda/attention/causal_product.h"

#include <algorithm>

namespace synthesizer::cuda {
namespace {

// Rows of a tile: enough to fill a library's own tiles, and operands stay aligned to 256 bytes whatever their strides.
constexpr int64_t kLeastRows = 128, kMostTiles = 8;

int64_t rows_of_tile(const Product& p) {
  if (p.triangle == Triangle::kNone) return p.m;
  const int64_t rows = (p.m + kMostTiles - 1) / kMostTiles;
  return (rows + kLeastRows - 1) / kLeastRows * kLeastRows;
}

const std::byte* behind(const void* memory, int64_t bytes) { return static_cast<const std::byte*>(memory) + bytes; }

}  // namespace

CausalProduct::CausalProduct(const ProductLibrary& library, const Product& product) {
  const int64_t rows = rows_of_tile(product);
  for (int64_t begin = 0; begin < product.m; begin += rows) {
    const int64_t end = std::min(begin + rows, product.m);
    Product p = product;
    p.triangle = Triangle::kNone;
    p.m = end - begin;
    int64_t skipped = 0;  // of the inner dimension
    if (product.triangle == Triangle::kLowerA) p.k = std::min(end, product.k);
    if (product.triangle == Triangle::kLowerC) p.n = std::min(end, product.n);
    if (product.triangle == Triangle::kUpperA) skipped = begin;
    if (skipped >= p.k) break;
    p.k -= skipped;
    const int64_t size = size_of(product.dtype), size_c = size_of(product.c_type());
    tiles_.push_back({library.make(p), (begin * p.a.row + skipped * p.a.column) * size, skipped * p.b.row * size,
                      begin * p.c.row * size_c});
  }
}

void CausalProduct::run(cudaStream_t stream, const void* a, const void* b, void* c, void* workspace) const {
  for (const Tile& tile : tiles_)
    tile.gemm->run(stream, behind(a, tile.a), behind(b, tile.b), {}, static_cast<std::byte*>(c) + tile.c, workspace);
}

}  // namespace synthesizer::cuda
