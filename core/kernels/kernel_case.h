// What a kernel is made from, and the entries of a device's table.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <typeinfo>

#include "core/base/error.h"
#include "core/graph/kernel.h"

namespace synthesizer {

// `Context`: what all kernels of a device are given.
template <typename Context>
struct BasicKernelCase {
  const Op& op;
  std::span<const ValueType> inputs, outputs;
  const Context& context;
  const AxisCommunicators* communicators;  // null when only the workspace is asked for

  template <typename O>
  const O& as() const {
    return static_cast<const O&>(op);
  }
  const Shape& in(size_t i) const { return inputs[i].shape; }
  const Shape& out(size_t i) const { return outputs[i].shape; }
};

// One op's line in the table.
template <typename Context>
struct BasicKernelEntry {
  const std::type_info* op;
  std::unique_ptr<Kernel> (*make)(const BasicKernelCase<Context>&);
  int64_t (*workspace)(const BasicKernelCase<Context>&);  // null: none
};

// K, of no element type.
template <typename K, typename Context>
std::unique_ptr<Kernel> make_untyped(const BasicKernelCase<Context>& c) {
  return std::make_unique<K>(c);
}

// K<float> or K<double>, as the first output is: of what is never stored in bf16 (weights, what is made of them alone).
template <template <typename> typename K, typename Context>
std::unique_ptr<Kernel> make_floating(const BasicKernelCase<Context>& c, DType dtype) {
  if (dtype == DType::kFloat32) return std::make_unique<K<float>>(c);
  if (dtype == DType::kFloat64) return std::make_unique<K<double>>(c);
  fail("[{}] no kernel for {}: expected f32 or f64", c.op.name(), to_string(dtype));
}
template <template <typename> typename K, typename Context>
std::unique_ptr<Kernel> make_floating(const BasicKernelCase<Context>& c) {
  return make_floating<K>(c, c.outputs[0].dtype);
}

// K<BFloat16> too. `dtype` is that of the activations; what K keeps beside them is of its compute_type().
template <template <typename> typename K, typename Context>
std::unique_ptr<Kernel> make_stored(const BasicKernelCase<Context>& c, DType dtype) {
  if (dtype == DType::kFloat32) return std::make_unique<K<float>>(c);
  if (dtype == DType::kFloat64) return std::make_unique<K<double>>(c);
  if (dtype == DType::kBFloat16) return std::make_unique<K<BFloat16>>(c);
  fail("[{}] no kernel for {}: expected f32, f64 or bf16", c.op.name(), to_string(dtype));
}
template <template <typename> typename K, typename Context>
std::unique_ptr<Kernel> make_by_output(const BasicKernelCase<Context>& c) {
  return make_stored<K>(c, c.outputs[0].dtype);
}
// K<T>::workspace(c), as the same T.
template <template <typename> typename K, typename Context>
int64_t workspace_by_output(const BasicKernelCase<Context>& c) {
  const DType dtype = c.outputs[0].dtype;
  if (dtype == DType::kBFloat16) return K<BFloat16>::workspace(c);
  return dtype == DType::kFloat64 ? K<double>::workspace(c) : K<float>::workspace(c);
}
template <template <typename> typename K, size_t kInput = 0, typename Context>
std::unique_ptr<Kernel> make_by_input(const BasicKernelCase<Context>& c) {
  return make_stored<K>(c, c.inputs[kInput].dtype);
}

// K<From, To>, as the first input and the first output are.
template <template <typename, typename> typename K, typename From>
struct ConversionFrom {
  template <typename To>
  using Kernel = K<From, To>;
};
template <template <typename, typename> typename K, typename Context>
std::unique_ptr<Kernel> make_conversion(const BasicKernelCase<Context>& c) {
  switch (c.inputs[0].dtype) {
    case DType::kInt32:
      return make_by_output<ConversionFrom<K, int32_t>::template Kernel>(c);
    case DType::kFloat32:
      return make_by_output<ConversionFrom<K, float>::template Kernel>(c);
    case DType::kFloat64:
      return make_by_output<ConversionFrom<K, double>::template Kernel>(c);
    case DType::kBFloat16:
      return make_by_output<ConversionFrom<K, BFloat16>::template Kernel>(c);
    case DType::kInt64:
      break;
  }
  fail("[{}] no kernel from {}", c.op.name(), to_string(c.inputs[0].dtype));
}

template <typename T>
const T* input(std::span<void* const> inputs, size_t i) {
  return static_cast<const T*>(inputs[i]);
}
template <typename T>
T* output(std::span<void* const> outputs, size_t i) {
  return static_cast<T*>(outputs[i]);
}

// Adds to a counter of what is run, if it is counted.
inline void count_in(KernelCounters* counters, std::atomic<int64_t> KernelCounters::*counter, int64_t n) {
  if (counters != nullptr) (counters->*counter).fetch_add(n, std::memory_order_relaxed);
}

}  // namespace synthesizer
