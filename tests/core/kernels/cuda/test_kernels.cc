#include "tests/support/test_kernels.h"

#include <gtest/gtest.h>

#include "core/kernels/cuda/cuda_kernels.h"
#include "tests/core/kernels/cuda/cpu_products.h"
#include "tests/core/kernels/cuda/device_check.h"
#include "tests/support/cuda_shim/control.h"

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
  cuda::CpuProducts products_;
  cuda::CudaKernelTable table_;
};

}  // namespace

std::unique_ptr<KernelTable> make_test_kernels(int, KernelCounters* counters, bool) {
  return std::make_unique<OwnedKernels>(counters);
}

// Threads and blocks in other orders than that in which tests of ops have them: what is not ordered by a barrier gives
// something else in one of them.
std::vector<KernelVariant> kernel_variants() {
  std::vector<KernelVariant> variants;
  for (const auto& [name, schedule] :
       {std::pair{"backward", cuda_shim::Schedule::kBackward}, std::pair{"shuffled", cuda_shim::Schedule::kShuffled}})
    variants.push_back({name, "all", [schedule = schedule] {
                          cuda_shim::set_schedule(schedule, 1);
                          return make_test_kernels();
                        }});
  return variants;
}

std::vector<const std::type_info*> ops_with_kernels() {
  std::vector<const std::type_info*> ops;
  for (const std::span<const cuda::KernelEntry> family : cuda::kernel_entries())
    for (const cuda::KernelEntry& entry : family) ops.push_back(entry.op);
  return ops;
}

void cuda::check_captures() { EXPECT_EQ(cuda_shim::capture_violations(), 0); }

}  // namespace synthesizer
