// The kernels of CUDA.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/graph/kernel.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/runtime/cuda_device.h"

namespace synthesizer::cuda {

// The entries of each family.
std::vector<std::span<const KernelEntry>> kernel_entries();
// The op's. Throws Error if there is none.
const KernelEntry& kernel_entry(const Op& op);

// As CudaKernelTable::workspace(), where there need be no GPU.
int64_t kernel_workspace(const Op& op, std::span<const ValueType> inputs, std::span<const ValueType> outputs,
                         const ProductLibrary& products);

class CudaKernelTable : public KernelTable {
 public:
  // All outlive the table and its kernels; `counters` is optional.
  CudaKernelTable(CudaDevice& device, const ProductLibrary& products, KernelCounters* counters = nullptr);

  int64_t workspace(const Op& op, std::span<const ValueType> inputs, std::span<const ValueType> outputs) const override;
  std::unique_ptr<Kernel> make(const Op& op, std::span<const ValueType> inputs, std::span<const ValueType> outputs,
                               const AxisCommunicators& communicators) const override;
  Device* device() const override { return &device_; }

 private:
  CudaDevice& device_;
  CudaContext context_;
};

}  // namespace synthesizer::cuda
