// Training steps on meshes of data and tensor ranks, threads of this process, give what one rank gives: loss, norm,
// every parameter, all optimizer state. Model code does not know; the partition pass inserts what makes it so.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "core/attention/table.h"
#include "core/base/philox.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/train/train_step.h"
#include "dist/parallel.h"
#include "dist/thread_communicator.h"

namespace synthesizer {
namespace {

constexpr int64_t kBatchSize = 4, kSource = 13, kTarget = 9, kVocabulary = 61, kClassCount = 4;

struct Setting {
  std::string name;
  std::string encoder, decoder;
  Structure structure = Structure::kEncoderDecoder;
  OptimizerKind optimizer = OptimizerKind::kAdafactor;
  double dropout = 0;
  void (*change)(ModelConfig&) = nullptr;
};

StepGraphOptions options_of(const Setting& setting, DType dtype) {
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
  options.seed = 7;
  options.input_mask = true;
  return options;
}

// This rank's rows of every integer input, and of the weights: a number depends on its place in the whole batch alone.
void feed_rows(Program& program, int rank, int ranks) {
  const auto each = [&](const char* name, const auto& value) {
    if (!program.has_input(name)) return;
    const auto to = program.input<int32_t>(name);
    for (size_t i = 0; i < to.size(); ++i)
      to[i] = value(static_cast<int64_t>(static_cast<size_t>(rank) * to.size() + i));
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
  each("decoder_inputs", draw(2, kVocabulary));
  each("targets", draw(3, classes ? kClassCount : kVocabulary));
  const auto weights = [&](auto to) {
    for (size_t i = 0; i < to.size(); ++i) to[i] = rank == ranks - 1 && i + 1 == to.size() ? 0 : 1;
    feed_scalar(program, "denominator", static_cast<double>(static_cast<int>(to.size()) * ranks - 1));
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

// What one rank ends with, whole.
struct Whole {
  std::vector<StepResult> steps;
  std::map<std::string, std::vector<double>> state;
};

// How far a rank's results are from the whole ones, relative to the largest element of each tensor.
void expect_near(const Whole& whole, const std::vector<StepResult>& steps, const StateStore& state, double tolerance) {
  for (size_t i = 0; i < steps.size(); ++i) {
    EXPECT_NEAR(steps[i].loss, whole.steps[i].loss, tolerance * whole.steps[i].loss);
    EXPECT_NEAR(steps[i].log_perplexity, whole.steps[i].log_perplexity, tolerance * whole.steps[i].log_perplexity);
    EXPECT_NEAR(steps[i].gradient_norm, whole.steps[i].gradient_norm, tolerance * whole.steps[i].gradient_norm);
  }
  ASSERT_EQ(state.tensors().size(), whole.state.size());
  for (const StateTensor& tensor : state.tensors()) {
    const std::vector<double>& expected = whole.state.at(tensor.name);
    double largest = 0, worst = 0;
    for (const double value : expected) largest = std::max(largest, std::abs(value));
    const std::vector<int64_t> strides = tensor.block.whole.strides();
    const Shape& own = tensor.type.shape;
    for (int64_t i = 0; i < own.elements(); ++i) {
      int64_t at = 0, rest = i;
      for (size_t d = own.rank(); d-- > 0; rest /= own.dims()[d].size)
        at += (tensor.block.begin[d] + rest % own.dims()[d].size) * strides[d];
      worst = std::max(worst, std::abs(element(tensor, i) - expected[static_cast<size_t>(at)]));
    }
    EXPECT_LE(worst, tolerance * std::max(largest, 1e-3)) << tensor.name;
  }
}

struct Mesh2d {
  int data, tensor;
};

const Layout& default_layout() {
  static const Layout layout{{{"batch", "data"}, {"heads", "tensor"}, {"ff", "tensor"}, {"vocab", "tensor"}}};
  return layout;
}

// Runs the steps on every rank of the mesh and gives each rank's results to `visit`.
template <typename Visit>
void train(const StepGraphOptions& options, const Layout& layout, Mesh2d shape, int steps, const Visit& visit) {
  run_ranks(shape.data * shape.tensor, [&](Communicator& world) {
    const Mesh mesh({.axes = {{"data", shape.data}, {"tensor", shape.tensor}}}, world);
    const CpuKernelTable kernels(1);
    TrainStep step(training_graph(options, partition_for(mesh, layout)), options.optimizer, kernels,
                   axis_communicators(mesh));
    step.state().initialize(options.seed);
    std::vector<StepResult> results;
    for (int i = 0; i < steps; ++i) {
      Program& program = step.program();
      feed_rows(program, mesh.coordinate("data"), shape.data);
      results.push_back(step.run_fed(i, 0.05));
    }
    visit(world.rank(), results, step.state());
  });
}

Whole train_whole(const StepGraphOptions& options, int steps) {
  Whole whole;
  train(options, {}, {1, 1}, steps, [&](int, const std::vector<StepResult>& results, const StateStore& state) {
    whole.steps = results;
    for (const StateTensor& tensor : state.tensors())
      for (int64_t i = 0; i < tensor.type.shape.elements(); ++i) whole.state[tensor.name].push_back(element(tensor, i));
  });
  return whole;
}

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const std::string& kind : attention_names()) all.push_back({kind, kind, kind == "Linformer" ? "V" : kind});
  const auto add = [&](Setting setting) { all.push_back(std::move(setting)); };
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
  return all;
}

class AnyLayout : public testing::TestWithParam<Setting> {};

TEST_P(AnyLayout, GivesWhatOneRankGives) {
  const StepGraphOptions options = options_of(GetParam(), DType::kFloat64);
  const Whole whole = train_whole(options, 3);
  for (const Mesh2d mesh : {Mesh2d{2, 1}, {1, 2}, {2, 2}, {1, 4}, {4, 2}}) {
    train(options, default_layout(), mesh, 3,
          [&](int rank, const std::vector<StepResult>& steps, const StateStore& state) {
            SCOPED_TRACE(fmt::format("data {} x tensor {}, rank {}", mesh.data, mesh.tensor, rank));
            expect_near(whole, steps, state, 1e-12);
          });
  }
}

INSTANTIATE_TEST_SUITE_P(Models, AnyLayout, testing::ValuesIn(settings()),
                         [](const auto& info) { return info.param.name; });

TEST(AnyLayoutFloat32, StaysNearOverTwentySteps) {
  const StepGraphOptions options = options_of({"", "R+V", "D"}, DType::kFloat32);
  const Whole whole = train_whole(options, 20);
  for (const Mesh2d mesh : {Mesh2d{2, 2}, {1, 4}})
    train(options, default_layout(), mesh, 20, [&](int, const std::vector<StepResult>& steps, const StateStore& state) {
      expect_near(whole, steps, state, 1e-4);
    });
}

}  // namespace
}  // namespace synthesizer
