// A device file's figures from what was measured on a machine.
#pragma once

#include <span>
#include <vector>

#include "configs/schema/device.pb.h"
#include "dist/fake_communicator.h"
#include "launch/bench/node_times.h"

namespace synthesizer {

// Sets memory_bandwidth, vector_flops, op_seconds, the FP32 products and the slowdowns of `device`. `peak`: operations
// a second of large products. What no node shows stays: an op of small tensors only gets no slowdown.
void set_kernel_figures(std::span<const NodeSeconds> nodes, double peak, config::Device& device);

// Sets the products of another precision, from nodes of steps in it; op_seconds is known.
void set_product_figures(std::span<const NodeSeconds> nodes, double peak, config::Products::Precision precision,
                         config::Device& device);

// One size of a collective among `ranks`.
struct CollectiveSeconds {
  Collective kind = Collective::kAllReduce;
  int64_t block_bytes = 0;
  int ranks = 2;
  double seconds = 0;
};
// The latency and bandwidth with which collective_seconds() comes nearest, by direct steps.
void set_link_figures(std::span<const CollectiveSeconds> calls, config::Link& link);

}  // namespace synthesizer
