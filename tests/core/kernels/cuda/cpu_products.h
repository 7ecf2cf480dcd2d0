// The CPU's matrix products in the place of the GPU's library.
#pragma once

#include "core/kernels/cuda/products.h"
#include "core/tensor/storage.h"

namespace synthesizer::cuda {

class CpuProducts : public ProductLibrary {
 public:
  // `counters` is optional.
  explicit CpuProducts(KernelCounters* counters) : counters_(counters) {}
  int64_t workspace_bytes() const override { return kAlignment; }  // of its own: what is given is not looked at
  bool takes_epilogue(const Product& product) const override { return synthesizer::takes_epilogue(product); }
  std::unique_ptr<DeviceGemm> make(const Product& product) const override;
  std::string name() const override { return "the CPU's"; }

 private:
  KernelCounters* counters_;
};

}  // namespace synthesizer::cuda
