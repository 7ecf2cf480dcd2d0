// What one rank of a mesh will need for a step, known before anything is started: bytes, collectives, operations. All
// of it is read off the graph and the memory plan that the run itself uses, so it is exact for what the program
// allocates and sends; what libraries take for themselves is not in it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/graph.h"
#include "core/graph/kernel.h"
#include "core/graph/layout.h"
#include "core/train/step_graph.h"
#include "dist/fake_communicator.h"

namespace synthesizer {

// What a collective's node asks of its axis: bytes of the call's block, as sent_bytes() counts them.
struct CollectiveCall {
  Collective kind = Collective::kAllReduce;
  std::string axis;
  int64_t block_bytes = 0;  // as they travel
  Wire wire = Wire::kFull;
};
CollectiveCall call_of(const Node& node, std::span<const ValueType> inputs);

// All calls of one kind along one axis, in one step.
struct CollectiveTotal {
  Collective kind = Collective::kAllReduce;
  std::string axis;
  int ranks = 1;    // of the axis
  Traffic traffic;  // of one rank
};

// Bytes of the arena in use at the moment at which most are.
struct ArenaPeak {
  std::string op, node;  // that runs then
  int64_t gradients = 0;
  int64_t activations = 0;
  int64_t inputs = 0;  // what the host writes before the step
  int64_t workspace = 0;
  int64_t total() const { return gradients + activations + inputs + workspace; }
};

struct StepPlan {
  // Bytes that live between steps, alignment included: together the state store's allocation.
  int64_t parameters = 0;
  int64_t fixed = 0;  // the matrices of Fix
  int64_t optimizer = 0;
  int64_t sums = 0;    // of gradients, over micro-batches
  int64_t copies = 0;  // of parameters, in bf16
  int64_t state() const { return parameters + fixed + optimizer + sums + copies; }
  int64_t arena = 0;  // all of a step's transient memory: peak.total() and what lies unused between blocks
  ArenaPeak peak;
  std::vector<CollectiveTotal> collectives;
  std::map<std::string, int64_t> flops;  // by op
};

std::string_view to_string(Collective collective);

// The one call of a collective node of a rank's graph.
CollectiveTotal collective_of(const Graph& graph, const Node& node, const MeshShape& mesh);

// Bytes of the buffers of a rank's communicators: of all ranks, and of each axis of the mesh.
int64_t buffers_of(const MeshShape& mesh);

// What libraries take of a GPU's memory for themselves, which no graph says: rough figures, of one rank.
struct OutsideBytes {
  std::string what;
  int64_t bytes = 0;
};
std::vector<OutsideBytes> outside_of_gpu(const MeshShape& mesh);

// `graphs` are one rank's, partitioned for a mesh of this shape; `kernels` are those they will run with.
StepPlan plan_step(const StepGraphs& graphs, const KernelTable& kernels, const MeshShape& mesh);
// Of a step of this one graph.
StepPlan plan_step(const Graph& graph, const KernelTable& kernels, const MeshShape& mesh);

}  // namespace synthesizer
