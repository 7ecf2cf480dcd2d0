#include "core/kernels/cpu/cpu_kernels.h"
#include "tests/support/test_kernels.h"

namespace synthesizer {

std::unique_ptr<KernelTable> make_test_kernels(int threads, KernelCounters* counters, bool same_bits) {
  return std::make_unique<CpuKernelTable>(threads, counters, best_isa(), same_bits);
}

std::vector<KernelVariant> kernel_variants() {
  std::vector<KernelVariant> variants;
  for (int isa = 0; isa <= static_cast<int>(best_isa()); ++isa)
    for (const int threads : {1, 2, 3})
      variants.push_back({"isa " + std::to_string(isa) + " threads " + std::to_string(threads),
                          "isa " + std::to_string(isa),
                          [=] { return std::make_unique<CpuKernelTable>(threads, nullptr, static_cast<Isa>(isa)); }});
  return variants;
}

std::vector<const std::type_info*> ops_with_kernels() {
  std::vector<const std::type_info*> ops;
  for (const std::span<const KernelEntry> family : cpu_kernel_entries())
    for (const KernelEntry& entry : family) ops.push_back(entry.op);
  return ops;
}

}  // namespace synthesizer
