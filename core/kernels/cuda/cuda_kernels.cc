#include "core/kernels/cuda/cuda_kernels.h"

#include "core/tensor/storage.h"

namespace synthesizer::cuda {

// The list of all kernels: the entries of each family, one file each.
std::span<const KernelEntry> elementwise_kernels();
std::span<const KernelEntry> dot_attention_kernels();
std::span<const KernelEntry> dot_attention_gradient_kernels();
std::span<const KernelEntry> shared_attention_kernels();
std::span<const KernelEntry> shared_attention_gradient_kernels();
std::span<const KernelEntry> shared_product_kernels();

std::vector<std::span<const KernelEntry>> kernel_entries() {
  return {
      elementwise_kernels(),
      dot_attention_kernels(),
      dot_attention_gradient_kernels(),
      shared_attention_kernels(),
      shared_attention_gradient_kernels(),
      shared_product_kernels(),
  };
}

namespace {

const KernelEntry& entry(const Op& op) {
  static const auto families = kernel_entries();
  for (const std::span<const KernelEntry> family : families)
    for (const KernelEntry& entry : family)
      if (*entry.op == typeid(op)) return entry;
  fail("[{}] CUDA has no kernel for this op", op.name());
}

}  // namespace

CudaKernelTable::CudaKernelTable(CudaDevice& device, const ProductLibrary& products, KernelCounters* counters)
    : device_(device), context_{device.stream(), device.communication_stream(), counters, &products} {}

int64_t CudaKernelTable::workspace(const Op& op, std::span<const ValueType> inputs,
                                   std::span<const ValueType> outputs) const {
  const KernelEntry& found = entry(op);
  return found.workspace == nullptr ? 0 : align_up(found.workspace({op, inputs, outputs, context_, nullptr}));
}

std::unique_ptr<Kernel> CudaKernelTable::make(const Op& op, std::span<const ValueType> inputs,
                                              std::span<const ValueType> outputs,
                                              const AxisCommunicators& communicators) const {
  return entry(op).make({op, inputs, outputs, context_, &communicators});
}

}  // namespace synthesizer::cuda
