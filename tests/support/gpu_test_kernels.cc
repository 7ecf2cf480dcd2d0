// The kernels of CUDA on the first GPU, with the libraries that they have there.
#include "core/kernels/cuda/cublaslt/products.h"
#include "core/kernels/cuda/cuda_kernels.h"
#include "tests/core/kernels/cuda/device_check.h"
#include "tests/support/test_kernels.h"

namespace synthesizer {
namespace {

// A table with all that it needs.
class OwnedKernels : public KernelTable {
 public:
  explicit OwnedKernels(KernelCounters* counters)
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
  cuda::CublasLtProducts products_;
  cuda::CudaKernelTable table_;
};

}  // namespace

std::unique_ptr<KernelTable> make_test_kernels(int, KernelCounters* counters, bool) {
  return std::make_unique<OwnedKernels>(counters);
}

// There is one way to run them, twice: what threads race for comes out another way sooner or later.
std::vector<KernelVariant> kernel_variants() {
  const auto make = [] { return make_test_kernels(); };
  return {{"first run", "all", make}, {"second run", "all", make}};
}

std::vector<const std::type_info*> ops_with_kernels() {
  std::vector<const std::type_info*> ops;
  for (const std::span<const cuda::KernelEntry> family : cuda::kernel_entries())
    for (const cuda::KernelEntry& entry : family) ops.push_back(entry.op);
  return ops;
}

void cuda::check_captures() {}

}  // namespace synthesizer
