// float32 and bfloat16 products with a long inner dimension: tiles of C, each by a single-threaded product of its own.
// Left to itself oneDNN splits the inner dimension of such products (those of a weight's gradient) among threads, and
// the bits of the sums then depend on their number. The tiles depend on the shape alone.
#include <omp.h>

#include <algorithm>
#include <vector>

#include "core/kernels/cpu/gemm/libraries.h"

namespace synthesizer {
namespace {

constexpr int64_t kTileRows = 128, kTileColumns = 256;

class TiledGemm : public Gemm {
 public:
  TiledGemm(const Product& product, int threads) : p_(product), threads_(threads) {
    workspace_ = onednn_workspace(tile_product(kTileRows, kTileColumns), 1);
    for (int thread = 0; thread < threads; ++thread)
      for (const bool last_row : {false, true})
        for (const bool last_column : {false, true})
          tiles_.push_back(make_onednn_gemm(
              tile_product(size(p_.m, kTileRows, last_row), size(p_.n, kTileColumns, last_column)), 1, workspace_));
  }

  void run(const void* a, const void* b, void* c, void* workspace) const override {
    const int64_t rows = count(p_.m, kTileRows), columns = count(p_.n, kTileColumns);
#pragma omp parallel for num_threads(threads_) schedule(static)
    for (int64_t tile = 0; tile < rows * columns; ++tile) {
      const int64_t row = tile / columns, column = tile % columns, thread = omp_get_thread_num();
      const int shape = (row + 1 == rows ? 2 : 0) + (column + 1 == columns ? 1 : 0);
      tiles_[static_cast<size_t>(4 * thread + shape)]->run(
          static_cast<const std::byte*>(a) + row * kTileRows * p_.a.row * size_of(p_.dtype),
          static_cast<const std::byte*>(b) + column * kTileColumns * p_.b.column * size_of(p_.dtype),
          static_cast<std::byte*>(c) +
              (row * kTileRows * p_.c.row + column * kTileColumns * p_.c.column) * size_of(p_.c_type()),
          static_cast<std::byte*>(workspace) + thread * workspace_);
    }
  }

  static int64_t workspace(const Product& p, int threads) {
    Product tile = p;
    tile.m = kTileRows;
    tile.n = kTileColumns;
    return threads * onednn_workspace(tile, 1);
  }

 private:
  static int64_t count(int64_t whole, int64_t tile) { return (whole + tile - 1) / tile; }
  // Of a tile: all have the full size but the last.
  static int64_t size(int64_t whole, int64_t tile, bool last) {
    return last ? whole - (count(whole, tile) - 1) * tile : std::min(whole, tile);
  }

  Product tile_product(int64_t m, int64_t n) const {
    Product tile = p_;
    tile.m = m;
    tile.n = n;
    return tile;
  }

  Product p_;
  int threads_;
  int64_t workspace_;                         // of one thread
  std::vector<std::unique_ptr<Gemm>> tiles_;  // by thread, last row or not, last column or not
};

}  // namespace

int64_t tiled_workspace(const Product& product, int threads) { return TiledGemm::workspace(product, threads); }

std::unique_ptr<Gemm> make_tiled_gemm(const Product& product, int threads) {
  return std::make_unique<TiledGemm>(product, threads);
}

}  // namespace synthesizer
