// Where each value of a step lies in the arena. Values whose lifetimes do not meet share memory.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/graph/kernel.h"
#include "core/graph/schedule.h"

namespace synthesizer {

struct PlannedBlock {
  int64_t offset = 0;
  int64_t bytes = 0;
  int first = 0, last = 0;       // schedule positions at which the block is in use, both included
  std::vector<ValueRef> values;  // that live in it, aliases and in-place successors included; none: a workspace
};

struct MemoryPlan {
  int64_t arena_bytes = 0;                     // all of a step's transient memory, workspaces included
  std::map<ValueRef, int64_t> offsets;         // of transient values, in the arena
  std::map<ValueRef, std::string> persistent;  // values that lie in the StateStore, under the leaf's name
  std::vector<int64_t> workspace_offsets;      // by schedule position; -1: none
  std::vector<PlannedBlock> blocks;
};

// Inputs and marked outputs keep their memory for the whole step. A collective's inputs, outputs and workspace are in
// use until schedule.wait.
MemoryPlan plan_memory(const Graph& graph, const Schedule& schedule, const KernelTable& kernels);

}  // namespace synthesizer
