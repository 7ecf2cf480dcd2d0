// Horizontal fusions: a start costs the CPU little, so their parts run one after the other.
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/kernels/horizontal_parts.h"

namespace synthesizer {
namespace {

using Parts = PartsKernel<CpuContext, cpu_kernel_entry>;

}  // namespace

std::span<const KernelEntry> horizontal_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(HorizontalFusion), make_untyped<Parts, CpuContext>, Parts::workspace}};
  return kEntries;
}

}  // namespace synthesizer
