// Where the time of a training step goes on this machine: every node of a real step's graph, timed where it runs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/graph/communicator.h"
#include "core/graph/graph.h"
#include "core/graph/kernel.h"
#include "core/train/step_graph.h"
#include "dist/time.h"

namespace synthesizer {

struct NodeSeconds {
  std::string op;
  Cost cost;
  ProductSize size;
  double seconds = 0;  // of thread_seconds(), or a device's own clock: the fastest of the rounds, of the slowest rank
};

// The nodes that run something of the step of one rank, fed with random tokens. Collective: the ranks of `world` run
// the same step side by side, so that each has the share of the machine that it has in a job; they exchange nothing.
// `rounds` are timed after one that is not. On a device each node is made again and again by a Replay, so that what is
// timed is what it takes in a step, and not how fast the host can ask for it.
std::vector<NodeSeconds> time_nodes(const StepGraphOptions& options, const KernelTable& kernels, int64_t rounds,
                                    Communicator& world);

}  // namespace synthesizer
