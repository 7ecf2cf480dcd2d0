#include "launch/bench/node_times.h"

#include <span>

#include "core/graph/leaf.h"
#include "core/graph/program.h"
#include "core/graph/state_store.h"
#include "core/train/train_step.h"
#include "launch/bench/random_batch.h"
#include "launch/machine.h"

namespace synthesizer {
namespace {

// By node id.
std::vector<double> fastest_runs(Graph& graph, const StepGraphOptions& options, const KernelTable& kernels,
                                 int64_t rounds, Communicator& world) {
  StateStore store(graph, kernels.device());
  store.initialize(1);
  Program program(graph, kernels, {}, store);
  const RandomBatch batch(options.shape, options.model.vocab, 0, 1);
  std::vector<double> fastest(graph.nodes().size(), 0);
  for (int64_t round = -1; round < rounds; ++round) {
    feed(program, batch.batch());
    if (program.has_input("step")) program.input<int64_t>("step")[0] = round + 1;
    feed_scalar(program, kLearningRate, 1e-3);
    feed_scalar(program, kSecondMomentDecay, second_moment_decay(options.optimizer.adafactor, round + 1));
    world.barrier();
    double last = thread_seconds();
    program.run_visited([&](const Node& node, std::span<void* const>) {
      const double seconds = thread_seconds() - last;
      double& best = fastest[static_cast<size_t>(node.id)];
      if (round >= 0 && (best == 0 || seconds < best)) best = seconds;
      last = thread_seconds();
    });
  }
  return fastest;
}

}  // namespace

std::vector<NodeSeconds> time_nodes(const StepGraphOptions& options, const KernelTable& kernels, int64_t rounds,
                                    Communicator& world) {
  const std::unique_ptr<Graph> graph = training_graph(options, nullptr);
  std::vector<double> fastest = fastest_runs(*graph, options, kernels, rounds, world);
  world.all_reduce(fastest.data(), static_cast<int64_t>(fastest.size()), DType::kFloat64, Reduction::kMax);
  std::vector<NodeSeconds> times;
  for (const Node& node : graph->nodes()) {
    if (runs_nothing(node)) continue;
    std::vector<ValueType> inputs;
    for (const ValueRef& ref : node.inputs) inputs.push_back(graph->type(ref));
    times.push_back({std::string(node.op->name()), node.op->cost(inputs, node.outputs),
                     product_size(*node.op, inputs, node.outputs), fastest[static_cast<size_t>(node.id)]});
  }
  return times;
}

}  // namespace synthesizer
