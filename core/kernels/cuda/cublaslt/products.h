// Matrix products by cuBLASLt: bfloat16 on tensor cores with sums in float32, float32 (as TF32 where that is asked
// for), float64. Of the algorithms that the library proposes the fastest is taken, measured once (algorithm_cache.h).
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>

#include "core/kernels/cuda/products.h"

namespace synthesizer::cuda {

class CublasLtProducts : public ProductLibrary {
 public:
  // For the GPU that is current. `counters` (optional) outlives the products. Throws Error if there is no cuBLASLt.
  explicit CublasLtProducts(KernelCounters* counters, bool tf32 = false);
  ~CublasLtProducts() override;

  static constexpr int64_t kLibraryBytes = 32 << 20, kWorkspaceAlignment = 256;
  static constexpr int64_t kWorkspaceBytes = kLibraryBytes + kWorkspaceAlignment;
  int64_t workspace_bytes() const override { return kWorkspaceBytes; }
  bool takes_epilogue(const Product& product) const override;
  std::unique_ptr<DeviceGemm> make(const Product& product) const override;
  std::string name() const override;

  struct Shared;  // by all its products

 private:
  bool does_well(const Product& product) const;

  std::shared_ptr<const Shared> shared_;
};

}  // namespace synthesizer::cuda
