// A product of which a triangle is not asked for, by tiles of rows: each is multiplied only as far as the triangle
// reaches, so that of a large square about half of the multiplications are left out. (The library knows no triangles.)
#pragma once

#include <memory>
#include <vector>

#include "core/kernels/cuda/products.h"
#include "core/tensor/dtype.h"

namespace synthesizer::cuda {

class CausalProduct {
 public:
  // Where A is not to be looked at it must be zero; C is not written where it is not asked for, in whole tiles: of
  // kUpperA, rows from the last of A's columns on.
  CausalProduct(const ProductLibrary& library, const Product& product);
  // `workspace`: of ProductLibrary::workspace_bytes().
  void run(cudaStream_t stream, const void* a, const void* b, void* c, void* workspace) const;

 private:
  struct Tile {
    std::unique_ptr<DeviceGemm> gemm;
    int64_t a, b, c;  // bytes before it
  };
  std::vector<Tile> tiles_;
};

}  // namespace synthesizer::cuda
