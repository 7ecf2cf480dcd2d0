#include "tests/core/model/model_run.h"

#include <algorithm>
#include <random>

#include "core/graph/differentiate.h"
#include "core/graph/leaf.h"
#include "core/graph/passes.h"
#include "core/ops/elementwise.h"
#include "core/ops/passes/fuse.h"
#include "dist/parallel.h"

namespace synthesizer {
namespace {

void add_gradients(Graph& graph, Value loss) {
  std::vector<Value> parameters;
  for (const Node& node : graph.nodes())
    if (const auto* leaf = dynamic_cast<const Leaf*>(node.op.get()); leaf && leaf->kind() == Leaf::Kind::kParameter)
      parameters.push_back(graph.value({node.id, 0}));
  const auto gradients = differentiate(loss, parameters, [](Value a, Value b) { return a + b; });
  // The loss may not depend on a parameter: the bias, where nothing in a stack has a use for it.
  for (size_t i = 0; i < parameters.size(); ++i)
    if (gradients[i]) graph.mark_output("gradient." + parameters[i].node().name, gradients[i]);
}

}  // namespace

ModelRun::ModelRun(const RunSetting& setting, Communicator* world) : setting_(setting), world_(world) {
  graph_ = std::make_unique<Graph>();
  const ModelOutputs out = build_model(*graph_, setting.config, setting.shape, setting.loss, setting.options).outputs;
  const std::pair<const char*, Value> outputs[] = {
      {"loss", out.loss}, {"nll_sum", out.nll_sum}, {"logits", out.logits}, {"next_logits", out.next_logits}};
  for (const auto& [name, value] : outputs)
    if (value) graph_->mark_output(name, value);
  if (setting.gradients) add_gradients(*graph_, out.loss);
  if (setting.passes) graph_ = fuse(*merge_common(*eliminate_dead(*graph_)));
  AxisCommunicators communicators;
  if (world != nullptr) {
    const Mesh mesh({.axes = {{"data", world->size()}}}, *world);
    graph_ = partition_for(mesh, {{{"batch", "data"}}})(*graph_);
    communicators["data"] = world;
  }
  store_ = std::make_unique<StateStore>(*graph_);
  store_->initialize(3);
  kernels_ = std::make_unique<CpuKernelTable>(1, &counters_);
  program_ = std::make_unique<Program>(*graph_, *kernels_, communicators, *store_);
  feed();
}

void ModelRun::run(int64_t step, int64_t position) {
  if (program_->has_input("step")) program_->input<int64_t>("step")[0] = step;
  if (program_->has_input("position")) program_->input<int64_t>("position")[0] = position;
  program_->run();
}

std::vector<double> ModelRun::output(const std::string& name) {
  const auto values = program_->output<double>(name);
  return {values.begin(), values.end()};
}

std::vector<std::string> ModelRun::outputs() const {
  std::vector<std::string> names;
  for (const auto& [name, ref] : graph_->outputs()) names.push_back(name);
  return names;
}

std::span<double> ModelRun::parameter(const std::string& name) {
  const StateTensor& tensor = store_->at(name);
  return {reinterpret_cast<double*>(store_->address(tensor)), static_cast<size_t>(tensor.type.shape.elements())};
}

void ModelRun::feed_ids(const char* name, int64_t row_size, int64_t below, uint32_t salt) {
  if (!program_->has_input(name)) return;
  const auto to = program_->input<int32_t>(name);
  const int64_t begin = world_ != nullptr ? world_->rank() * static_cast<int64_t>(to.size()) : 0;
  const bool mask = std::string_view(name) == "input_mask";
  for (size_t i = 0; i < to.size(); ++i) {
    const int64_t index = begin + static_cast<int64_t>(i);
    if (mask)
      to[i] = index % row_size < index / row_size + 3 ? 1 : 0;
    else
      to[i] = static_cast<int32_t>(std::mt19937(salt + static_cast<uint32_t>(index))() % static_cast<uint32_t>(below));
  }
}

void ModelRun::feed() {
  const ModelConfig& config = setting_.config;
  const int64_t classes = config.structure == Structure::kEncoderClassifier ? config.num_classes : config.vocab;
  feed_ids("inputs", setting_.shape.source_length, config.vocab, 0);
  feed_ids("input_mask", setting_.shape.source_length, 2, 0);
  feed_ids("decoder_inputs", setting_.shape.target_length, config.vocab, 1000);
  feed_ids("targets", setting_.shape.target_length, classes, 2000);
  if (!program_->has_input("weights")) return;
  const auto weights = program_->input<double>("weights");
  std::fill(weights.begin(), weights.end(), 1);
  if (world_ == nullptr || world_->rank() == 0) weights[0] = 0.5;
  program_->input<double>("denominator")[0] =
      static_cast<double>(weights.size()) * (world_ == nullptr ? 1 : world_->size());
}

}  // namespace synthesizer
