// How long a step takes on a device, from the graph that a rank runs: each op by the roofline (Williams et al. 2009),
// each collective by latency and bandwidth of its link (Hockney 1994), both lanes as the Program runs them.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "core/graph/graph.h"
#include "core/graph/layout.h"
#include "dist/device_rates.h"
#include "dist/plan.h"

namespace synthesizer {

// m × n × k of an op that is a matrix product, and its gradient's alike: dims are classed by the operands that have
// them. All 0: the op is none.
struct ProductSize {
  double m = 0, n = 0, k = 0;
};
ProductSize product_size(const Op& op, std::span<const ValueType> inputs, std::span<const ValueType> outputs);

// Seconds of one op, a collective excepted.
struct OpTime {
  double compute = 0, memory = 0;  // each alone; the longer counts, `slowdown` times
  double overhead = 0;
  double slowdown = 1;
  bool memory_bound() const { return memory > compute; }
  double busy() const { return slowdown * (memory_bound() ? memory : compute); }
  double seconds() const { return busy() + overhead; }
};
OpTime op_time(const Op& op, std::span<const ValueType> inputs, std::span<const ValueType> outputs,
               const DeviceRates& device);

// The link that carries a collective along `axis`: inside a host if all of the axis's ranks share one.
const LinkRate& link_of(const MeshShape& mesh, std::string_view axis, const DeviceRates& device);
// Of one call among `ranks`, whose bytes are those that travel. All-reduce is a reduce-scatter and an all-gather.
double collective_seconds(Collective kind, int64_t block_bytes, int ranks, const LinkRate& link, CollectiveSteps steps,
                          Wire wire = Wire::kFull);

enum class Bound { kCompute, kMemory, kNetwork };
std::string_view to_string(Bound bound);

struct StepTime {
  double step = 0;                      // seconds
  double compute = 0;                   // of ops that the operations limit
  double memory = 0;                    // of ops that the bytes limit
  double overhead = 0;                  // of starting ops
  double communication = 0;             // of all collectives
  double exposed = 0;                   // of them, what computing waits for or is slowed by
  std::map<std::string, double> by_op;  // collectives too

  Bound bound() const;  // the largest of compute, memory and exposed
};

// `graph` is one rank's, partitioned for a mesh of this shape.
StepTime time_step(const Graph& graph, const MeshShape& mesh, const DeviceRates& device);
// Of all its micro-batches, one after the other.
StepTime time_step(const StepGraphs& graphs, const MeshShape& mesh, const DeviceRates& device);

}  // namespace synthesizer
