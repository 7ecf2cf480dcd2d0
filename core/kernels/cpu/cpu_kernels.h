// The kernels of the CPU: float32 and float64, OpenMP threads, loops for the instructions the machine has.
#pragma once

#include <span>
#include <vector>

#include "core/graph/kernel.h"
#include "core/kernels/cpu/kernel_case.h"

namespace synthesizer {

// The entries of each family.
std::vector<std::span<const KernelEntry>> cpu_kernel_entries();
// The op's. Throws Error if there is none.
const KernelEntry& cpu_kernel_entry(const Op& op);

class CpuKernelTable : public KernelTable {
 public:
  // `threads` OpenMP threads a kernel; several tables may be used by several threads of a process at once. `counters`
  // (optional) outlives the kernels. Throws Error if the machine lacks `isa`.
  // With `same_bits` results do not depend on the number of threads, which costs a little (core/kernels/gemm.h).
  explicit CpuKernelTable(int threads, KernelCounters* counters = nullptr, Isa isa = best_isa(),
                          bool same_bits = false);

  int64_t workspace(const Op& op, std::span<const ValueType> inputs, std::span<const ValueType> outputs) const override;
  std::unique_ptr<Kernel> make(const Op& op, std::span<const ValueType> inputs, std::span<const ValueType> outputs,
                               const AxisCommunicators& communicators) const override;
  int threads() const { return context_.threads; }

 private:
  CpuContext context_;
};

}  // namespace synthesizer
