#include "core/kernels/cpu/cpu_kernels.h"

#include "core/tensor/storage.h"

namespace synthesizer {

// The list of all kernels: the entries of each family, one file each.
std::span<const KernelEntry> product_kernels();
std::span<const KernelEntry> elementwise_kernels();
std::span<const KernelEntry> chain_kernels();
std::span<const KernelEntry> horizontal_kernels();
std::span<const KernelEntry> reduce_kernels();
std::span<const KernelEntry> softmax_kernels();
std::span<const KernelEntry> shared_attention_kernels();
std::span<const KernelEntry> shared_product_kernels();
std::span<const KernelEntry> dot_attention_kernels();
std::span<const KernelEntry> dot_attention_gradient_kernels();
std::span<const KernelEntry> rms_norm_kernels();
std::span<const KernelEntry> embedding_kernels();
std::span<const KernelEntry> relative_bias_kernels();
std::span<const KernelEntry> cross_entropy_kernels();
std::span<const KernelEntry> cross_entropy_gradient_kernels();
std::span<const KernelEntry> dropout_kernels();
std::span<const KernelEntry> shape_kernels();
std::span<const KernelEntry> update_kernels();
std::span<const KernelEntry> window_kernels();
std::span<const KernelEntry> depthwise_kernels();
std::span<const KernelEntry> take_kernels();
std::span<const KernelEntry> collective_kernels();

std::vector<std::span<const KernelEntry>> cpu_kernel_entries() {
  return {product_kernels(),
          elementwise_kernels(),
          chain_kernels(),
          horizontal_kernels(),
          reduce_kernels(),
          softmax_kernels(),
          shared_attention_kernels(),
          shared_product_kernels(),
          dot_attention_kernels(),
          dot_attention_gradient_kernels(),
          rms_norm_kernels(),
          embedding_kernels(),
          relative_bias_kernels(),
          cross_entropy_kernels(),
          cross_entropy_gradient_kernels(),
          dropout_kernels(),
          shape_kernels(),
          update_kernels(),
          window_kernels(),
          depthwise_kernels(),
          take_kernels(),
          collective_kernels()};
}

CpuKernelTable::CpuKernelTable(int threads, KernelCounters* counters, Isa isa, bool same_bits) {
  CHECK(threads >= 1, "{} threads", threads);
  context_.threads = threads;
  context_.same_bits = same_bits;
  context_.counters = counters;
  context_.loops = make_loops(isa);
}

const KernelEntry& cpu_kernel_entry(const Op& op) {
  static const auto families = cpu_kernel_entries();
  for (const std::span<const KernelEntry> family : families)
    for (const KernelEntry& entry : family)
      if (*entry.op == typeid(op)) return entry;
  fail("[{}] the CPU has no kernel for this op", op.name());
}

int64_t CpuKernelTable::workspace(const Op& op, std::span<const ValueType> inputs,
                                  std::span<const ValueType> outputs) const {
  const KernelEntry& found = cpu_kernel_entry(op);
  return found.workspace == nullptr ? 0 : align_up(found.workspace({op, inputs, outputs, context_, nullptr}));
}

std::unique_ptr<Kernel> CpuKernelTable::make(const Op& op, std::span<const ValueType> inputs,
                                             std::span<const ValueType> outputs,
                                             const AxisCommunicators& communicators) const {
  return cpu_kernel_entry(op).make({op, inputs, outputs, context_, &communicators});
}

}  // namespace synthesizer
