// What collectives do on every device: which communicator, and tensors seen as parts along a dim.
#pragma once

#include <span>
#include <string>

#include "core/base/error.h"
#include "core/kernels/kernel_case.h"
#include "core/ops/collectives.h"
#include "core/tensor/storage.h"

namespace synthesizer {

template <typename Context>
Communicator& communicator_of(const BasicKernelCase<Context>& c, const std::string& axis) {
  const auto found = c.communicators->find(axis);
  CHECK(found != c.communicators->end(), "[{}] no communicator for the axis {}", c.op.name(), axis);
  return *found->second;
}

// Whether output i lies where the planner puts the successor of output i − 1.
inline bool joins_before(std::span<const ValueType> types, std::span<void* const> outputs, size_t i) {
  const auto* before = static_cast<const std::byte*>(outputs[i - 1]);
  return types[i].dtype == types[i - 1].dtype && outputs[i] == before + align_up(types[i - 1].bytes());
}

// A dense tensor seen as [outer, parts, run]: part p of each outer row is a run of bytes.
struct PartsOfTensor {
  PartsOfTensor(const ValueType& type, const std::string& dim, int64_t parts) : count(parts) {
    const size_t at = type.shape.index(dim);
    const int64_t size = type.shape.dims()[at].size, inner = type.shape.strides()[at];
    CHECK(size % parts == 0, "{} does not divide by {}", type.shape.to_string(), parts);
    run = size / parts * inner * size_of(type.dtype);
    outer = type.bytes() / (run * parts);
  }
  // Whether the parts already lie one after the other.
  bool dense() const { return outer == 1; }

  int64_t outer, count, run;
};

}  // namespace synthesizer
