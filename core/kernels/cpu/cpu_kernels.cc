#include "core/kernels/cpu/cpu_kernels.h"

#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

// Every family of core/ops.
using Family = std::span<const KernelEntry> (*)();
constexpr Family kFamilies[] = {product_kernels,          elementwise_kernels, reduce_kernels,    softmax_kernels,
                                shared_attention_kernels, rms_norm_kernels,    embedding_kernels, relative_bias_kernels,
                                cross_entropy_kernels,    dropout_kernels,     shape_kernels,     update_kernels,
                                window_kernels,           collective_kernels};

}  // namespace

CpuKernelTable::CpuKernelTable(int threads, KernelCounters* counters, Isa isa) {
  CHECK(threads >= 1, "{} threads", threads);
  context_.threads = threads;
  context_.counters = counters;
  context_.loops = make_loops(isa);
}

const KernelEntry& CpuKernelTable::entry(const Op& op) const {
  for (const Family family : kFamilies)
    for (const KernelEntry& entry : family())
      if (*entry.op == typeid(op)) return entry;
  fail("[{}] the CPU has no kernel for this op", op.name());
}

int64_t CpuKernelTable::workspace(const Op& op, std::span<const ValueType> inputs,
                                  std::span<const ValueType> outputs) const {
  const KernelEntry& found = entry(op);
  return found.workspace == nullptr ? 0 : align_up(found.workspace({op, inputs, outputs, context_, nullptr}));
}

std::unique_ptr<Kernel> CpuKernelTable::make(const Op& op, std::span<const ValueType> inputs,
                                             std::span<const ValueType> outputs,
                                             const AxisCommunicators& communicators) const {
  return entry(op).make({op, inputs, outputs, context_, &communicators});
}

}  // namespace synthesizer
