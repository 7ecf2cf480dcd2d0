// What a Program needs from a device: a table that turns an op with known types into a prepared kernel.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "core/graph/communicator.h"
#include "core/graph/op.h"
#include "core/tensor/device.h"

namespace synthesizer {

// A prepared kernel: shapes, strides and library primitives were settled when it was made. run() allocates nothing.
class Kernel {
 public:
  virtual ~Kernel() = default;
  // Dense row-major buffers in the order of the node's inputs and outputs. Where the memory plan shares memory as the
  // op's aliases() allow, an output pointer equals an input pointer. `workspace` has KernelTable::workspace() bytes,
  // 64-byte aligned, with undefined contents.
  virtual void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) = 0;
};

// Counted while kernels run, for tests and reports; all ranks of a process may share one.
struct KernelCounters {
  std::atomic<int64_t> softmax_runs{0};   // softmaxes taken (forward), those inside of an attention too
  std::atomic<int64_t> softmax_rows{0};   // rows normalised
  std::atomic<int64_t> product_flops{0};  // 2·m·n·k of every matrix product run; what is asked for of a triangle
  std::atomic<int64_t> collective_calls{0};
  std::atomic<int64_t> collective_bytes{0};  // of the buffers given to collectives
};

// The communicator of each mesh axis that has more than one rank.
using AxisCommunicators = std::map<std::string, Communicator*>;

class KernelTable {
 public:
  virtual ~KernelTable() = default;
  // Bytes of workspace the op needs with these types: a pure function, asks no device and no library.
  virtual int64_t workspace(const Op& op, std::span<const ValueType> inputs,
                            std::span<const ValueType> outputs) const = 0;
  // Throws Error if the table has no kernel for the op. `communicators` are for collectives and outlive the kernel.
  virtual std::unique_ptr<Kernel> make(const Op& op, std::span<const ValueType> inputs,
                                       std::span<const ValueType> outputs,
                                       const AxisCommunicators& communicators) const = 0;
  // Where the kernels run and the memory lies that they are given; null: the host. Outlives the kernels.
  virtual Device* device() const { return nullptr; }
};

}  // namespace synthesizer
