#include "core/train/step_graph.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/graph/differentiate.h"
#include "core/graph/leaf.h"
#include "core/graph/passes.h"
#include "core/ops/dot_attention.h"
#include "core/ops/elementwise.h"
#include "core/ops/passes/chain_pass.h"
#include "core/ops/passes/fuse.h"
#include "core/ops/passes/horizontal_pass.h"
#include "core/ops/passes/keep_casts.h"
#include "core/ops/passes/product_epilogues.h"

namespace synthesizer {
namespace {

bool covers(const std::string& pattern, const std::string& name) {
  return name == pattern || name.starts_with(pattern + ".");
}

// The names, and what comes before each of their dots: all that a pattern may be.
std::vector<std::string> with_prefixes(const std::vector<std::string>& names) {
  std::set<std::string> all;
  for (const std::string& name : names) {
    all.insert(name);
    for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1))
      all.insert(name.substr(0, dot));
  }
  return {all.begin(), all.end()};
}

// The trained parameters that are not frozen, in the order they were made.
std::vector<Value> trained(Graph& graph, const std::vector<std::string>& freeze) {
  std::vector<Value> parameters;
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) {
    const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
    if (leaf == nullptr || leaf->kind() != Leaf::Kind::kParameter) continue;
    names.push_back(node.name);
    const auto freezes = [&](const std::string& pattern) { return covers(pattern, node.name); };
    if (std::none_of(freeze.begin(), freeze.end(), freezes)) parameters.push_back(graph.value({node.id, 0}));
  }
  for (const std::string& pattern : freeze)
    if (std::none_of(names.begin(), names.end(), [&](const std::string& name) { return covers(pattern, name); }))
      fail_usage("freeze: no parameter is named {}{}", pattern, nearest_hint(pattern, with_prefixes(names)));
  return parameters;
}

std::unique_ptr<Graph> finish(std::unique_ptr<Graph> graph, bool passes, const Partition& partition,
                              const MicroBatches& micro_batches = {}) {
  graph = eliminate_dead(*graph);
  if (micro_batches.count > 1) graph = number_micro_batches(*graph, micro_batches);
  if (passes) graph = fuse(*merge_common(*graph));
  if (partition) graph = eliminate_dead(*partition(*graph));
  return passes ? take_biases(*graph) : std::move(graph);
}

// The last passes, after recompute.
std::unique_ptr<Graph> chained(std::unique_ptr<Graph> graph, const StepGraphOptions& options) {
  if (!options.passes) return graph;
  graph = fuse_exactly(*graph);
  if (options.for_gpu) graph = use_relu_masks(*graph);
  graph = make_chains(*graph, options.for_gpu);
  return options.for_gpu ? fuse_horizontally(*graph) : std::move(graph);
}

// A weight's bf16 copy is there all the time, a cast of it from forward to backward. Where activations are most of a
// step's memory all casts are there at its peak, and copies take the same bytes (T5-small, 8 examples); where gradients
// are, copies add up to 5%. With blocks made again a cast is there for a moment only, so that copies always add that
// much, and memory is what is to be saved.
bool keeps_casts(const StepGraphOptions& options) {
  return options.passes && options.keep_casts && options.recompute != Recompute::kBlock;
}

// `loss`: the output or the node that the forward pass leads to.
std::unique_ptr<Graph> with_recompute(std::unique_ptr<Graph> graph, std::string_view loss, Recompute choice) {
  if (choice == Recompute::kNone) return graph;
  auto result = recompute(*graph, loss, recompute_regions(choice));
  // (kAttention has the logits made again in any case.)
  if (result->nodes().size() == graph->nodes().size() && choice == Recompute::kBlock)
    fail_usage("recompute: got BLOCK, expected NONE: backward reads nothing of any layer");
  return result;
}

Model build(Graph& graph, const StepGraphOptions& options, Mode mode) {
  ModelOptions build;
  build.mode = mode;
  build.dtype = options.dtype;
  build.bfloat16 = options.bfloat16;
  build.seed = options.seed;
  build.input_mask = options.input_mask;
  build.packed = options.packed;
  build.logits = options.logits;
  build.keep_logits = mode == Mode::kTrain && options.recompute == Recompute::kNone;
  build.fused = options.passes;
  BatchShape shape = options.shape;
  const int64_t parts = options.accumulation.micro_batches.count;
  CHECK(shape.batch % parts == 0, "a batch of {} in {} micro-batches", shape.batch, parts);
  shape.batch /= parts;
  return build_model(graph, options.model, shape, options.loss, build);
}

// What a micro-batch gives, added to what earlier ones have given: no values where it is kept for later ones.
struct Sums {
  Value loss, nll_sum, weight_sum;
  std::vector<Value> parameters, gradients;
};

Sums sums_of(Graph& graph, const ModelOutputs& outputs, const StepGraphOptions& options, const AccumulationPass& pass) {
  const std::vector<Value> candidates = trained(graph, options.freeze);
  const std::vector<Value> found = differentiate(outputs.loss, candidates, [](Value a, Value b) { return a + b; });
  const ScopedName scope(graph, "update");
  Sums sums;
  {
    const ScopedName inner(graph, "loss");
    sums.loss = add_up(outputs.loss, "loss", pass);
  }
  sums.nll_sum = add_up(outputs.nll_sum, "nll_sum", pass);
  sums.weight_sum = add_up(outputs.weight_sum, "weight_sum", pass);
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (!found[i]) continue;  // the loss does not depend on it
    const std::string& name = candidates[i].node().name;
    const ScopedName inner(graph, name);
    sums.parameters.push_back(candidates[i]);
    sums.gradients.push_back(add_up(found[i], name, pass));
  }
  return sums;
}

std::unique_ptr<Graph> graph_of(const StepGraphOptions& options, const AccumulationPass& pass,
                                const Partition& partition) {
  auto graph = std::make_unique<Graph>();
  const Model model = build(*graph, options, Mode::kTrain);
  if (options.logits) graph->mark_output("logits", model.outputs.logits);
  const Sums sums = sums_of(*graph, model.outputs, options, pass);
  if (pass.into < 0) {
    graph->mark_output("loss", sums.loss);
    graph->mark_output("nll_sum", sums.nll_sum);
    graph->mark_output("weight_sum", sums.weight_sum);
    for (size_t i = 0; options.gradient_outputs && i < sums.gradients.size(); ++i)
      graph->mark_output("gradient." + sums.parameters[i].node().name, sums.gradients[i]);
  }
  if (pass.into < 0 && options.update) {
    const Value known = graph->leaf("step");
    const Value step = known ? known : input(*graph, "step", DType::kInt64, {});
    const UpdateResult update = add_update(*graph, sums.parameters, sums.gradients, sums.loss, step, options.optimizer);
    graph->mark_output("gradient_norm", update.gradient_norm);
    graph->mark_output("finite", update.finite);
  }
  graph = finish(std::move(graph), options.passes, partition, options.accumulation.micro_batches);
  if (keeps_casts(options)) graph = keep_casts(*graph);
  graph = with_recompute(std::move(graph), pass.into < 0 ? "loss" : "update.loss/accumulate", options.recompute);
  return chained(std::move(graph), options);
}

}  // namespace

StepGraphs::StepGraphs(std::unique_ptr<Graph> only) : order{0} { graphs.push_back(std::move(only)); }

StepGraphs training_graphs(const StepGraphOptions& options, const Partition& partition) {
  StepGraphs step;
  std::vector<AccumulationPass> kinds;
  for (const AccumulationPass& pass : options.accumulation.passes()) {
    auto kind = std::find(kinds.begin(), kinds.end(), pass);
    if (kind == kinds.end()) {
      kind = kinds.insert(kind, pass);
      step.graphs.push_back(graph_of(options, pass, partition));
    }
    step.order.push_back(static_cast<size_t>(kind - kinds.begin()));
  }
  return step;
}

std::unique_ptr<Graph> training_graph(const StepGraphOptions& options, const Partition& partition) {
  return graph_of(options, options.accumulation.passes().back(), partition);
}

std::unique_ptr<Graph> evaluation_graph(const StepGraphOptions& options, const Partition& partition) {
  auto graph = std::make_unique<Graph>();
  const Model model = build(*graph, options, Mode::kEvaluate);
  graph->mark_output("nll", model.outputs.nll);
  return chained(finish(std::move(graph), options.passes, partition), options);
}

std::unique_ptr<Graph> alignment_graph(const StepGraphOptions& options, std::vector<int64_t> layers) {
  auto graph = std::make_unique<Graph>();
  ModelOptions build;
  build.mode = Mode::kEvaluate;
  build.dtype = options.dtype;
  build.bfloat16 = options.bfloat16;
  build.input_mask = options.input_mask;
  build.packed = options.packed;
  build.loss = false;
  build.alignments = std::move(layers);
  build_model(*graph, options.model, options.shape, options.loss, build);
  return chained(finish(std::move(graph), options.passes, nullptr), options);
}

std::unique_ptr<Graph> decoding_graph(const StepGraphOptions& options) {
  auto graph = std::make_unique<Graph>();
  ModelOptions build;
  build.mode = Mode::kEvaluate;
  build.dtype = options.dtype;
  build.bfloat16 = options.bfloat16;
  build.input_mask = options.input_mask;
  build.loss = false;
  build.next_logits = true;
  const Model model = build_model(*graph, options.model, options.shape, options.loss, build);
  graph->mark_output("next_logits", model.outputs.next_logits);
  return chained(finish(std::move(graph), options.passes, nullptr), options);
}

}  // namespace synthesizer
