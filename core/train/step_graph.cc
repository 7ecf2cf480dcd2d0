#include "core/train/step_graph.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/graph/differentiate.h"
#include "core/graph/leaf.h"
#include "core/graph/passes.h"
#include "core/ops/elementwise.h"
#include "core/ops/fuse.h"

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

std::unique_ptr<Graph> finish(std::unique_ptr<Graph> graph, bool passes, const Partition& partition) {
  graph = eliminate_dead(*graph);
  if (passes) graph = fuse(*merge_common(*graph));
  if (partition) graph = eliminate_dead(*partition(*graph));
  return graph;
}

std::unique_ptr<Graph> with_recompute(std::unique_ptr<Graph> graph, Recompute choice) {
  if (choice == Recompute::kNone) return graph;
  auto result = recompute(*graph, "loss", recompute_regions(choice));
  if (result->nodes().size() == graph->nodes().size())
    fail_usage("recompute: got {}", choice == Recompute::kAttention
                                        ? "ATTENTION, expected NONE or BLOCK: this model has no number for each query "
                                          "and key that backward reads"
                                        : "BLOCK, expected NONE: backward reads nothing of any layer");
  return result;
}

Model build(Graph& graph, const StepGraphOptions& options, Mode mode) {
  ModelOptions build;
  build.mode = mode;
  build.dtype = options.dtype;
  build.seed = options.seed;
  build.input_mask = options.input_mask;
  build.packed = options.packed;
  build.logits = options.logits;
  return build_model(graph, options.model, options.shape, options.loss, build);
}

}  // namespace

std::unique_ptr<Graph> training_graph(const StepGraphOptions& options, const Partition& partition) {
  auto graph = std::make_unique<Graph>();
  const Model model = build(*graph, options, Mode::kTrain);
  const ModelOutputs& outputs = model.outputs;
  graph->mark_output("loss", outputs.loss);
  graph->mark_output("nll_sum", outputs.nll_sum);
  graph->mark_output("weight_sum", outputs.weight_sum);
  if (options.logits) graph->mark_output("logits", outputs.logits);

  std::vector<Value> parameters, gradients;
  const std::vector<Value> candidates = trained(*graph, options.freeze);
  const std::vector<Value> found = differentiate(outputs.loss, candidates, [](Value a, Value b) { return a + b; });
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (!found[i]) continue;  // the loss does not depend on it
    parameters.push_back(candidates[i]);
    gradients.push_back(found[i]);
    if (options.gradient_outputs) graph->mark_output("gradient." + candidates[i].node().name, found[i]);
  }
  if (options.update) {
    const Value known = graph->leaf("step");
    const Value step = known ? known : input(*graph, "step", DType::kInt64, {});
    const UpdateResult update = add_update(*graph, parameters, gradients, outputs.loss, step, options.optimizer);
    graph->mark_output("gradient_norm", update.gradient_norm);
    graph->mark_output("finite", update.finite);
  }
  return with_recompute(finish(std::move(graph), options.passes, partition), options.recompute);
}

std::unique_ptr<Graph> evaluation_graph(const StepGraphOptions& options, const Partition& partition) {
  auto graph = std::make_unique<Graph>();
  const Model model = build(*graph, options, Mode::kEvaluate);
  graph->mark_output("nll", model.outputs.nll);
  return finish(std::move(graph), options.passes, partition);
}

std::unique_ptr<Graph> alignment_graph(const StepGraphOptions& options, std::vector<int64_t> layers) {
  auto graph = std::make_unique<Graph>();
  ModelOptions build;
  build.mode = Mode::kEvaluate;
  build.dtype = options.dtype;
  build.input_mask = options.input_mask;
  build.packed = options.packed;
  build.loss = false;
  build.alignments = std::move(layers);
  build_model(*graph, options.model, options.shape, options.loss, build);
  return finish(std::move(graph), options.passes, nullptr);
}

std::unique_ptr<Graph> decoding_graph(const StepGraphOptions& options) {
  auto graph = std::make_unique<Graph>();
  ModelOptions build;
  build.mode = Mode::kEvaluate;
  build.dtype = options.dtype;
  build.input_mask = options.input_mask;
  build.loss = false;
  build.next_logits = true;
  const Model model = build_model(*graph, options.model, options.shape, options.loss, build);
  graph->mark_output("next_logits", model.outputs.next_logits);
  return finish(std::move(graph), options.passes, nullptr);
}

}  // namespace synthesizer
