// What a kernel is made from, and the entries of the table.
#pragma once

#include <memory>
#include <span>
#include <typeinfo>

#include "core/base/error.h"
#include "core/graph/kernel.h"
#include "core/kernels/cpu/loops/loops.h"
#include "core/kernels/gemm.h"

namespace synthesizer {

struct CpuContext {
  int threads = 1;
  bool same_bits = false;              // whatever the number of threads
  KernelCounters* counters = nullptr;  // may be null
  LoopTables loops;

  GemmThreads gemm_threads() const { return {threads, same_bits}; }

  void count(std::atomic<int64_t> KernelCounters::*counter, int64_t n) const {
    if (counters != nullptr) (counters->*counter).fetch_add(n, std::memory_order_relaxed);
  }
};

struct KernelCase {
  const Op& op;
  std::span<const ValueType> inputs, outputs;
  const CpuContext& context;
  const AxisCommunicators* communicators;  // null when only the workspace is asked for

  template <typename O>
  const O& as() const {
    return static_cast<const O&>(op);
  }
  const Shape& in(size_t i) const { return inputs[i].shape; }
  const Shape& out(size_t i) const { return outputs[i].shape; }
};

using MakeKernel = std::unique_ptr<Kernel> (*)(const KernelCase&);
using KernelWorkspace = int64_t (*)(const KernelCase&);

// One op's line in the table.
struct KernelEntry {
  const std::type_info* op;
  MakeKernel make;
  KernelWorkspace workspace;  // null: none
};

// K<float> or K<double>, as the first output is: of what is never stored in bf16 (weights, what is made of them alone).
template <template <typename> typename K>
std::unique_ptr<Kernel> make_floating(const KernelCase& c, DType dtype) {
  if (dtype == DType::kFloat32) return std::make_unique<K<float>>(c);
  if (dtype == DType::kFloat64) return std::make_unique<K<double>>(c);
  fail("[{}] no kernel for {}: expected f32 or f64", c.op.name(), to_string(dtype));
}
template <template <typename> typename K>
std::unique_ptr<Kernel> make_floating(const KernelCase& c) {
  return make_floating<K>(c, c.outputs[0].dtype);
}

// K<BFloat16> too. `dtype` is that of the activations; what K keeps beside them is of its compute_type().
template <template <typename> typename K>
std::unique_ptr<Kernel> make_stored(const KernelCase& c, DType dtype) {
  if (dtype == DType::kFloat32) return std::make_unique<K<float>>(c);
  if (dtype == DType::kFloat64) return std::make_unique<K<double>>(c);
  if (dtype == DType::kBFloat16) return std::make_unique<K<BFloat16>>(c);
  fail("[{}] no kernel for {}: expected f32, f64 or bf16", c.op.name(), to_string(dtype));
}
template <template <typename> typename K>
std::unique_ptr<Kernel> make_by_output(const KernelCase& c) {
  return make_stored<K>(c, c.outputs[0].dtype);
}
// K<T>::workspace(c), as the same T.
template <template <typename> typename K>
int64_t workspace_by_output(const KernelCase& c) {
  const DType dtype = c.outputs[0].dtype;
  if (dtype == DType::kBFloat16) return K<BFloat16>::workspace(c);
  return dtype == DType::kFloat64 ? K<double>::workspace(c) : K<float>::workspace(c);
}
template <template <typename> typename K, size_t kInput = 0>
std::unique_ptr<Kernel> make_by_input(const KernelCase& c) {
  return make_stored<K>(c, c.inputs[kInput].dtype);
}

template <typename T>
const T* input(std::span<void* const> inputs, size_t i) {
  return static_cast<const T*>(inputs[i]);
}
template <typename T>
T* output(std::span<void* const> outputs, size_t i) {
  return static_cast<T*>(outputs[i]);
}

}  // namespace synthesizer
