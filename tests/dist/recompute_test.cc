// With `recompute` a training step gives the same bits: losses, gradients, weights and optimizer state, on one rank and
// on meshes, with dropout, on one thread and two. And it asks the other ranks for what it asks without.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <mutex>

#include "core/attention/table.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "dist/parallel.h"
#include "dist/plan.h"
#include "tests/dist/layout_run.h"

namespace synthesizer {
namespace {

constexpr Recompute kChoices[] = {Recompute::kAttention, Recompute::kBlock};

struct RecomputeSetting {
  LayoutSetting model;
  bool packed = false;

  friend void PrintTo(const RecomputeSetting& setting, std::ostream* out) { *out << setting.model.name; }
};

std::vector<RecomputeSetting> settings() {
  std::vector<RecomputeSetting> all;
  const auto add = [&](LayoutSetting setting, bool packed = false) { all.push_back({std::move(setting), packed}); };
  constexpr auto kFactor = OptimizerKind::kAdafactor, kAdam = OptimizerKind::kAdamW;
  constexpr auto kBoth = Structure::kEncoderDecoder;
  for (const std::string& kind : attention_names())
    add({kind, kind, kind == "Linformer" ? "V" : kind, kBoth, kAdam, 0.1});
  for (const std::string& kind : attention_names())
    if (kind != "Linformer") add({"packed_" + kind, "", kind, Structure::kDecoder, kFactor, 0.1}, true);
  add({"mixtures", "R+V", "D+FR", kBoth, kFactor, 0.1});
  add({"mixtures_of_convolutions", "R+Conv", "ConvBottleneck+V", kBoth, kFactor, 0.1});
  add({"factorized", "GLU+FD", "FR+FD"});
  add({"packed_mixture", "R+V", "D+R+V", kBoth, kAdam, 0.1}, true);
  add({"dropout_of_weights", "R+V", "V", kBoth, kFactor, 0.1,
       [](ModelConfig& model) { model.dropout_broadcast = false; }});
  add({"decoder", "V", "R+V", Structure::kDecoder, kAdam, 0.1});
  add({"classifier", "FR", "V", Structure::kEncoderClassifier, kAdam, 0.1});
  add({"universal", "R+V", "V", kBoth, kFactor, 0.1, [](ModelConfig& model) { model.universal = true; }});
  add({"universal_of_weights", "D", "R+V", kBoth, kFactor, 0.1, [](ModelConfig& model) {
         model.universal = true;
         model.dropout_broadcast = false;
       }});
  add({"t5_1_1", "D", "R", kBoth, kFactor, 0, [](ModelConfig& model) {
         model.gated_gelu = true;
         model.tie_output = false;
       }});
  add({"authors", "D", "D+V", kBoth, kFactor, 0.1, [](ModelConfig& model) {
         for (AttentionConfig* stack : {&model.encoder, &model.decoder}) {
           stack->share_across_heads = true;
           stack->dense_bias = false;
         }
         model.decoder.share_query = true;
         model.decoder.mixture = Mixture::kSigmoid;
       }});
  add({"switches", "D", "V", kBoth, kFactor, 0.1, [](ModelConfig& model) {
         model.encoder.dense_width = DenseWidth::kModel;
         model.decoder.tie_key_value = true;
         model.decoder.scale = true;
         model.relative_bias = false;
       }});
  add({"adamw", "R+V", "D+FR", kBoth, kAdam, 0.1});
  return all;
}

StepGraphOptions options_of(const RecomputeSetting& setting, DType dtype, Recompute choice) {
  StepGraphOptions options = layout_options(setting.model, dtype);
  options.packed = setting.packed;
  options.gradient_outputs = true;
  options.recompute = choice;
  return options;
}

// Everything that a rank has after some steps, as bytes, by name.
using Bits = std::map<std::string, std::vector<std::byte>>;

std::vector<std::byte> bytes_of(const void* data, int64_t bytes) {
  std::vector<std::byte> copy(static_cast<size_t>(bytes));
  std::memcpy(copy.data(), data, copy.size());
  return copy;
}

template <typename T>
std::vector<std::byte> output_bytes(Program& program, const std::string& name) {
  const auto values = program.output<T>(name);
  return bytes_of(values.data(), static_cast<int64_t>(values.size_bytes()));
}

Bits bits_of(RankRun& run) {
  Bits bits;
  for (const StepResult& step : run.results) {
    const double numbers[] = {step.loss, step.log_perplexity, step.gradient_norm};
    EXPECT_TRUE(step.finite);
    bits[fmt::format("step {}", bits.size())] = bytes_of(numbers, sizeof numbers);
  }
  for (const StateTensor& tensor : run.step.state().tensors())
    bits[tensor.name] = bytes_of(tensor.data, tensor.type.bytes());
  for (const auto& [name, ref] : run.step.graph().outputs())
    if (name.starts_with("gradient."))
      bits[name] = run.step.graph().type(ref).dtype == DType::kFloat64 ? output_bytes<double>(run.step.program(), name)
                                                                       : output_bytes<float>(run.step.program(), name);
  return bits;
}

// By rank.
std::vector<Bits> train(const StepGraphOptions& options, Mesh2d mesh) {
  std::vector<Bits> ranks(static_cast<size_t>(mesh.data * mesh.tensor));
  std::mutex mutex;
  on_mesh(options, default_layout(), mesh, [&](RankRun& run) {
    run.train(0, 2);
    const std::scoped_lock lock(mutex);
    ranks[static_cast<size_t>(run.mesh.coordinate("data") * mesh.tensor + run.mesh.coordinate("tensor"))] =
        bits_of(run);
  });
  return ranks;
}

void expect_same_bits(const std::vector<Bits>& got, const std::vector<Bits>& expected) {
  for (size_t rank = 0; rank < expected.size(); ++rank) {
    ASSERT_EQ(got[rank].size(), expected[rank].size());
    for (const auto& [name, bytes] : expected[rank])
      EXPECT_TRUE(got[rank].at(name) == bytes) << "rank " << rank << ": " << name << " differs";
  }
}

class RecomputedStep : public testing::TestWithParam<RecomputeSetting> {};

TEST_P(RecomputedStep, GivesTheSameBits) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64})
    for (const Mesh2d mesh : {Mesh2d{1, 1}, dtype == DType::kFloat32 ? Mesh2d{2, 2, 2, /*zero=*/1} : Mesh2d{1, 4}}) {
      const std::vector<Bits> expected = train(options_of(GetParam(), dtype, Recompute::kNone), mesh);
      EXPECT_GT(expected[0].size(), 40u);
      for (const Recompute choice : kChoices) {
        SCOPED_TRACE(fmt::format("{}, {}, choice {}", to_string(dtype), text(mesh), static_cast<int>(choice)));
        expect_same_bits(train(options_of(GetParam(), dtype, choice), mesh), expected);
      }
    }
}

TEST_P(RecomputedStep, GivesTheSameBitsOnTwoThreads) {
  const Mesh2d mesh{.data = 1, .tensor = 1, .threads = 2};
  const std::vector<Bits> expected = train(options_of(GetParam(), DType::kFloat32, Recompute::kNone), mesh);
  for (const Recompute choice : kChoices)
    expect_same_bits(train(options_of(GetParam(), DType::kFloat32, choice), mesh), expected);
}

TEST_P(RecomputedStep, SendsWhatItSendsWithout) {
  const CpuKernelTable kernels(1);
  for (const Mesh2d shape : {Mesh2d{2, 2}, {1, 4}, {2, 1}}) {
    const MeshShape ranks{.axes = {{"data", shape.data}, {"tensor", shape.tensor}}};
    const Mesh mesh = Mesh::fake(ranks, 0);
    const auto plan = [&](Recompute choice) {
      StepGraphOptions options = options_of(GetParam(), DType::kFloat32, choice);
      options.gradient_outputs = false;
      const auto partition = partition_for(mesh, default_layout(), partition_on(shape));
      return plan_step(*training_graph(options, partition), kernels, ranks);
    };
    const StepPlan none = plan(Recompute::kNone);
    for (const Recompute choice : kChoices) {
      const StepPlan some = plan(choice);
      ASSERT_EQ(some.collectives.size(), none.collectives.size());
      for (size_t i = 0; i < none.collectives.size(); ++i) {
        EXPECT_EQ(some.collectives[i].kind, none.collectives[i].kind);
        EXPECT_EQ(some.collectives[i].traffic, none.collectives[i].traffic);
      }
      if (choice == Recompute::kBlock) {
        EXPECT_GT(some.flops.at("einsum"), none.flops.at("einsum"));
      }
      EXPECT_LE(some.arena, none.arena) << static_cast<int>(choice);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RecomputedStep, testing::ValuesIn(settings()),
                         [](const auto& info) { return info.param.model.name; });

}  // namespace
}  // namespace synthesizer
