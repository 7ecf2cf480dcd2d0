#include "launch/bench/node_times.h"

#include <functional>
#include <memory>
#include <span>

#include "core/graph/leaf.h"
#include "core/graph/program.h"
#include "core/graph/state_store.h"
#include "core/train/train_step.h"
#include "launch/bench/random_batch.h"
#include "launch/machine.h"

namespace synthesizer {
namespace {

constexpr double kLeastSeconds = 1e-3;  // that a device is timed for
constexpr int kMostRepeats = 50;

// What `once` gives to the device takes, in one of many repeats.
double seconds_on(Device& device, const std::function<void()>& once) {
  const std::unique_ptr<Timer> timer = device.timer();
  const auto seconds_of = [&](const std::function<void()>& work) {
    timer->begin();
    work();
    timer->end();
    return timer->seconds();
  };
  const double first = seconds_of(once);
  const int repeats = first * kMostRepeats < kLeastSeconds ? kMostRepeats
                      : first < kLeastSeconds              ? static_cast<int>(kLeastSeconds / first) + 1
                                                           : 1;
  const std::unique_ptr<Replay> replay = device.replay();
  const auto all = [&] {
    replay->run([&] {
      for (int i = 0; i < repeats; ++i) once();
    });
  };
  all();
  all();  // captured, from now on
  return seconds_of(all) / repeats;
}

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
    const auto keep = [&](const Node& node, double seconds) {
      double& best = fastest[static_cast<size_t>(node.id)];
      if (round >= 0 && (best == 0 || seconds < best)) best = seconds;
    };
    if (Device* const device = kernels.device()) {
      program.run_each([&](const Node& node, const std::function<void()>& once) {
        if (round < 0)
          once();
        else
          keep(node, seconds_on(*device, once));
      });
      continue;
    }
    double last = thread_seconds();
    program.run_visited([&](const Node& node, std::span<void* const>) {
      keep(node, thread_seconds() - last);
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
