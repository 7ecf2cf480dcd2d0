#include "tests/dist/layout_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "core/attention/table.h"
#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "dist/parallel.h"
#include "dist/thread_communicator.h"

namespace synthesizer {
namespace {

constexpr int64_t kBatchSize = 4, kSource = 13, kTarget = 9, kVocabulary = 61, kClassCount = 4;

// The rows of every integer input, and of the weights, from `first_row` of the whole batch on: a number depends on its
// place in that alone. Allocates nothing, as steps are watched for that.
void feed_rows(Program& program, int64_t first_row, int64_t batch) {
  const auto place = [&](const char* name) {
    return first_row * program.input_type(name).shape.elements() / program.input_type(name).shape.size(kBatch.name);
  };
  const auto each = [&](const char* name, const auto& value) {
    if (!program.has_input(name)) return;
    const auto to = program.input<int32_t>(name);
    for (size_t i = 0; i < to.size(); ++i) to[i] = value(place(name) + static_cast<int64_t>(i));
  };
  const auto draw = [](uint32_t stream, int64_t below) {
    return [=](int64_t i) {
      return static_cast<int32_t>(philox({static_cast<uint32_t>(i), stream, 0, 0}, {})[0] %
                                  static_cast<uint64_t>(below));
    };
  };
  const bool classes = program.has_input("targets") && program.input_type("targets").shape.rank() == 1;
  each("inputs", draw(1, kVocabulary));
  each("input_mask", [](int64_t i) { return i % kSource < kSource - 2 * (i / kSource) ? 1 : 0; });
  for (const auto& [segments, positions, length, first] :
       {std::tuple{"input_segments", "input_positions", kSource, kSource / 2},
        {"target_segments", "target_positions", kTarget, kTarget / 2}}) {
    each(segments, [length = length, first = first](int64_t i) { return i % length < first ? 1 : 2; });
    each(positions, [length = length, first = first](int64_t i) {
      return static_cast<int32_t>(i % length < first ? i % length : i % length - first);
    });
  }
  each("decoder_inputs", draw(2, kVocabulary));
  each("targets", draw(3, classes ? kClassCount : kVocabulary));
  const int64_t all =
      program.input_type("weights").shape.elements() * batch / program.input_type("weights").shape.size(kBatch.name);
  const auto weights = [&](auto to) {
    for (size_t i = 0; i < to.size(); ++i) to[i] = place("weights") + static_cast<int64_t>(i) + 1 == all ? 0 : 1;
    feed_scalar(program, "denominator", static_cast<double>(all - 1));
  };
  if (program.input_type("weights").dtype == DType::kFloat64)
    weights(program.input<double>("weights"));
  else
    weights(program.input<float>("weights"));
}

double element(const StateTensor& tensor, int64_t i) {
  return tensor.type.dtype == DType::kFloat64 ? reinterpret_cast<const double*>(tensor.data)[i]
                                              : static_cast<double>(reinterpret_cast<const float*>(tensor.data)[i]);
}

}  // namespace

std::vector<LayoutSetting> each_attention() {
  std::vector<LayoutSetting> all;
  for (const std::string& kind : attention_names()) all.push_back({kind, kind, kind == "Linformer" ? "V" : kind});
  return all;
}

std::vector<LayoutSetting> every_model() {
  std::vector<LayoutSetting> all = each_attention();
  const auto add = [&](LayoutSetting setting) { all.push_back(std::move(setting)); };
  add({"mixtures", "R+V", "D+FR"});
  add({"mixtures_of_convolutions", "R+Conv", "ConvBottleneck+V"});
  add({"factorized", "GLU+FD", "FR+FD"});
  add({"adamw", "R+V", "D", Structure::kEncoderDecoder, OptimizerKind::kAdamW});
  add({"dropout", "R+V", "D", Structure::kEncoderDecoder, OptimizerKind::kAdafactor, 0.1});
  add({"dropout_of_weights", "R+V", "V", Structure::kEncoderDecoder, OptimizerKind::kAdafactor, 0.1,
       [](ModelConfig& model) { model.dropout_broadcast = false; }});
  add({"decoder", "V", "R+V", Structure::kDecoder});
  add({"classifier", "FR", "V", Structure::kEncoderClassifier});
  add({"universal", "R+V", "V", Structure::kEncoderDecoder, OptimizerKind::kAdafactor, 0.1,
       [](ModelConfig& model) { model.universal = true; }});
  add({"t5_1_1", "D", "R", Structure::kEncoderDecoder, OptimizerKind::kAdafactor, 0, [](ModelConfig& model) {
         model.gated_gelu = true;
         model.tie_output = false;
       }});
  add({"authors", "D", "D+V", Structure::kEncoderDecoder, OptimizerKind::kAdafactor, 0, [](ModelConfig& model) {
         for (AttentionConfig* stack : {&model.encoder, &model.decoder}) {
           stack->share_across_heads = true;
           stack->dense_bias = false;
         }
         model.decoder.share_query = true;
         model.decoder.mixture = Mixture::kSigmoid;
       }});
  add({"switches", "D", "V", Structure::kEncoderDecoder, OptimizerKind::kAdafactor, 0, [](ModelConfig& model) {
         model.encoder.dense_width = DenseWidth::kModel;
         model.decoder.tie_key_value = true;
         model.decoder.scale = true;
         model.relative_bias = false;
       }});
  add({"sum", "R+V", "R+V", Structure::kEncoderDecoder, OptimizerKind::kAdafactor, 0,
       [](ModelConfig& model) { model.encoder.mixture = model.decoder.mixture = Mixture::kSum; }});
  add({"channels", "LightConv", "DynConv", Structure::kEncoderDecoder, OptimizerKind::kAdafactor, 0,
       [](ModelConfig& model) {
         model.encoder.filter_width = 4;
         model.encoder.conv_heads = model.decoder.conv_heads = model.d_model;
       }});
  add({"narrow", "D+R+V", "V", Structure::kEncoderDecoder, OptimizerKind::kAdafactor, 0,
       [](ModelConfig& model) { model.d_head = 3; }});
  return all;
}

std::vector<LayoutSetting> models_named(const std::vector<std::string>& names) {
  const std::vector<LayoutSetting> all = every_model();
  std::vector<LayoutSetting> found;
  for (const std::string& name : names) {
    const auto model = std::find_if(all.begin(), all.end(), [&](const LayoutSetting& m) { return m.name == name; });
    CHECK(model != all.end(), "no model {} among those of the layout tests", name);
    found.push_back(*model);
  }
  return found;
}

StepGraphOptions layout_options(const LayoutSetting& setting, DType dtype) {
  StepGraphOptions options;
  ModelConfig& model = options.model;
  model = {.structure = setting.structure, .vocab = kVocabulary, .padded_vocab = 64, .d_model = 16, .d_ff = 32};
  model.num_heads = model.d_head = 4;
  model.encoder_layers = model.decoder_layers = 2;
  model.encoder = {.kind = setting.encoder, .max_length = 16};
  model.decoder = {.kind = setting.decoder, .max_length = 16};
  model.dropout = setting.dropout;
  const bool classifier = setting.structure == Structure::kEncoderClassifier;
  if (classifier) model.num_classes = kClassCount;
  if (setting.change != nullptr) setting.change(model);
  options.shape = {kBatchSize, setting.structure == Structure::kDecoder ? 0 : kSource, classifier ? 0 : kTarget};
  options.loss = {.z_loss = 1e-4, .label_smoothing = 0.1};
  options.optimizer.kind = setting.optimizer;
  options.optimizer.adafactor.min_factored = 4;
  options.optimizer.clip_norm = 0.5;
  options.dtype = dtype;
  options.bfloat16 = setting.bfloat16;
  options.seed = 7;
  options.input_mask = true;
  return options;
}

std::string text(const Mesh2d& mesh) {
  std::string text = fmt::format("{}x{}", mesh.data, mesh.tensor);
  if (mesh.micro_batches > 1) text += fmt::format(", {} micro-batches", mesh.micro_batches);
  if (mesh.zero > 0) text += fmt::format(", zero {}", mesh.zero);
  if (mesh.leaves > 0) text += fmt::format(", {} leaves", mesh.leaves);
  if (mesh.wire == Wire::kBFloat16) text += ", gradients sent as bf16";
  if (mesh.threads > 1) text += fmt::format(", {} threads", mesh.threads);
  return text;
}

StepGraphOptions options_on(const Mesh2d& mesh, StepGraphOptions options) {
  options.optimizer.in_parts = mesh.zero > 0;
  options.accumulation.tree = mesh.leaves > 0;
  options.accumulation.micro_batches.count = mesh.leaves > 0 ? mesh.leaves / mesh.data : mesh.micro_batches;
  options.accumulation.micro_batches.interleaved = mesh.leaves > 0 && mesh.zero > 1;
  return options;
}

PartitionOptions partition_on(const Mesh2d& mesh) {
  PartitionOptions options;
  options.update = {mesh.zero, mesh.leaves, mesh.wire};
  return options;
}

const Layout& default_layout() {
  static const Layout layout{{{"batch", "data"}, {"heads", "tensor"}, {"ff", "tensor"}, {"vocab", "tensor"}}};
  return layout;
}

void RankRun::feed(Program& program, int64_t micro_batch) const {
  const int64_t rank = mesh.coordinate("data"), ranks = mesh.axis("data").size();
  const int64_t rows = options.shape.batch / ranks / options.accumulation.micro_batches.count;
  const int64_t first = options.accumulation.micro_batches.interleaved
                            ? (micro_batch * ranks + rank) * rows
                            : rank * (options.shape.batch / ranks) + micro_batch * rows;
  feed_rows(program, first, options.shape.batch);
}

void RankRun::train(int from, int count) {
  const auto write = [this](Program& program, int64_t micro_batch) { feed(program, micro_batch); };
  for (int i = from; i < from + count; ++i) results.push_back(step.run(write, i, learning_rate));
}

void on_mesh(const StepGraphOptions& whole, const Layout& layout, Mesh2d shape,
             const std::function<void(RankRun&)>& visit) {
  const StepGraphOptions options = options_on(shape, whole);
  run_ranks(shape.data * shape.tensor, [&](Communicator& world) {
    const Mesh mesh({.axes = {{"data", shape.data}, {"tensor", shape.tensor}}}, world);
    const CpuKernelTable kernels(shape.threads, nullptr, best_isa(), shape.leaves > 0);
    TrainStep step(training_graphs(options, partition_for(mesh, layout, partition_on(shape))), options.optimizer,
                   kernels, axis_communicators(mesh));
    step.state().initialize(options.seed);
    RankRun run{mesh, options, step, {}};
    visit(run);
  });
}

WholeRun train_whole(const StepGraphOptions& options, int steps, double learning_rate) {
  WholeRun whole;
  on_mesh(options, {}, {1, 1}, [&](RankRun& run) {
    run.learning_rate = learning_rate;
    run.train(0, steps);
    whole.results = run.results;
    for (const StateTensor& tensor : run.step.state().tensors())
      for (int64_t i = 0; i < tensor.type.shape.elements(); ++i) whole.state[tensor.name].push_back(element(tensor, i));
  });
  return whole;
}

double distance(const StateTensor& tensor, const std::vector<double>& whole) {
  double largest = 1e-3, worst = 0;
  for (const double value : whole) largest = std::max(largest, std::abs(value));
  const std::vector<int64_t> strides = tensor.block.whole.strides();
  const Shape& own = tensor.type.shape;
  for (int64_t i = 0; i < own.elements(); ++i) {
    int64_t at = 0, rest = i;
    for (size_t d = own.rank(); d-- > 0; rest /= own.dims()[d].size)
      at += (tensor.block.begin[d] + rest % own.dims()[d].size) * strides[d];
    worst = std::max(worst, std::abs(element(tensor, i) - whole[static_cast<size_t>(at)]));
  }
  return worst / largest;
}

}  // namespace synthesizer
