#include "core/kernels/cuda/cuda_kernels.h"

#include "core/tensor/storage.h"

namespace synthesizer::cuda {

// The list of all kernels: the entries of each family, one file each.
std::span<const KernelEntry> adamw_kernels();
std::span<const KernelEntry> broadcast_kernels();
std::span<const KernelEntry> chain_kernels();
std::span<const KernelEntry> collective_kernels();
std::span<const KernelEntry> cross_entropy_kernels();
std::span<const KernelEntry> depthwise_kernels();
std::span<const KernelEntry> dot_attention_gradient_kernels();
std::span<const KernelEntry> dot_attention_kernels();
std::span<const KernelEntry> dropout_kernels();
std::span<const KernelEntry> einsum_kernels();
std::span<const KernelEntry> elementwise_kernels();
std::span<const KernelEntry> embedding_kernels();
std::span<const KernelEntry> horizontal_kernels();
std::span<const KernelEntry> reduce_kernels();
std::span<const KernelEntry> relative_bias_kernels();
std::span<const KernelEntry> rms_norm_gradient_kernels();
std::span<const KernelEntry> rms_norm_kernels();
std::span<const KernelEntry> shape_kernels();
std::span<const KernelEntry> shared_attention_gradient_kernels();
std::span<const KernelEntry> shared_attention_kernels();
std::span<const KernelEntry> shared_product_kernels();
std::span<const KernelEntry> softmax_gradient_kernels();
std::span<const KernelEntry> softmax_kernels();
std::span<const KernelEntry> take_kernels();
std::span<const KernelEntry> update_kernels();
std::span<const KernelEntry> window_kernels();

std::vector<std::span<const KernelEntry>> kernel_entries() {
  return {
      adamw_kernels(),                      //
      broadcast_kernels(),                  //
      chain_kernels(),                      //
      collective_kernels(),                 //
      cross_entropy_kernels(),              //
      depthwise_kernels(),                  //
      dot_attention_gradient_kernels(),     //
      dot_attention_kernels(),              //
      dropout_kernels(),                    //
      einsum_kernels(),                     //
      elementwise_kernels(),                //
      embedding_kernels(),                  //
      horizontal_kernels(),                 //
      reduce_kernels(),                     //
      relative_bias_kernels(),              //
      rms_norm_gradient_kernels(),          //
      rms_norm_kernels(),                   //
      shape_kernels(),                      //
      shared_attention_gradient_kernels(),  //
      shared_attention_kernels(),           //
      shared_product_kernels(),             //
      softmax_gradient_kernels(),           //
      softmax_kernels(),                    //
      take_kernels(),                       //
      update_kernels(),                     //
      window_kernels(),                     //
  };
}

const KernelEntry& kernel_entry(const Op& op) {
  static const auto families = kernel_entries();
  for (const std::span<const KernelEntry> family : families)
    for (const KernelEntry& entry : family)
      if (*entry.op == typeid(op)) return entry;
  fail("[{}] CUDA has no kernel for this op", op.name());
}

int64_t kernel_workspace(const Op& op, std::span<const ValueType> inputs, std::span<const ValueType> outputs,
                         const ProductLibrary& products) {
  const KernelEntry& found = kernel_entry(op);
  const CudaContext context{.products = &products};
  return found.workspace == nullptr ? 0 : align_up(found.workspace({op, inputs, outputs, context, nullptr}));
}

CudaKernelTable::CudaKernelTable(CudaDevice& device, const ProductLibrary& products, KernelCounters* counters)
    : device_(device), context_{device.stream(), device.communication_stream(), counters, &products, &device} {}

int64_t CudaKernelTable::workspace(const Op& op, std::span<const ValueType> inputs,
                                   std::span<const ValueType> outputs) const {
  return kernel_workspace(op, inputs, outputs, *context_.products);
}

std::unique_ptr<Kernel> CudaKernelTable::make(const Op& op, std::span<const ValueType> inputs,
                                              std::span<const ValueType> outputs,
                                              const AxisCommunicators& communicators) const {
  return kernel_entry(op).make({op, inputs, outputs, context_, &communicators});
}

}  // namespace synthesizer::cuda
