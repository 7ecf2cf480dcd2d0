// What the tests of CUDA's kernels have on the stand-in and on a GPU alike: kernels that own their device, their
// products and their table; which ops there are kernels for.
#pragma once

#include <typeinfo>
#include <vector>

#include "core/kernels/cuda/cuda_kernels.h"

namespace synthesizer {

// A table with all that it needs; its device is the first.
template <typename Products>
class OwnedCudaKernels : public KernelTable {
 public:
  explicit OwnedCudaKernels(KernelCounters* counters)
      : device_(0), products_(counters), table_(device_, products_, counters) {}

  int64_t workspace(const Op& op, std::span<const ValueType> inputs,
                    std::span<const ValueType> outputs) const override {
    return table_.workspace(op, inputs, outputs);
  }
  std::unique_ptr<Kernel> make(const Op& op, std::span<const ValueType> inputs, std::span<const ValueType> outputs,
                               const AxisCommunicators& communicators) const override {
    return table_.make(op, inputs, outputs, communicators);
  }
  Device* device() const override { return table_.device(); }

 private:
  mutable cuda::CudaDevice device_;
  Products products_;
  cuda::CudaKernelTable table_;
};

inline std::vector<const std::type_info*> cuda_ops_with_kernels() {
  std::vector<const std::type_info*> ops;
  for (const std::span<const cuda::KernelEntry> family : cuda::kernel_entries())
    for (const cuda::KernelEntry& entry : family) ops.push_back(entry.op);
  return ops;
}

}  // namespace synthesizer
