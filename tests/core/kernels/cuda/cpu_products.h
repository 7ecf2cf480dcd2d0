// The CPU's matrix products in the place of the GPU's library.
#pragma once

#include "core/kernels/cuda/products.h"

namespace synthesizer::cuda {

class CpuProducts : public ProductLibrary {
 public:
  // `counters` is optional.
  explicit CpuProducts(KernelCounters* counters) : counters_(counters) {}
  bool takes_epilogue(const Product& product) const override { return synthesizer::takes_epilogue(product); }
  std::unique_ptr<DeviceGemm> make(const Product& product) const override;
  std::string name() const override { return "the CPU's"; }

 private:
  KernelCounters* counters_;
};

}  // namespace synthesizer::cuda
