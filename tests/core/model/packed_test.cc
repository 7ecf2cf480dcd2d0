// Documents that share a row are as if each were alone in its own: logits, loss and every gradient.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "core/attention/table.h"
#include "core/base/error.h"
#include "dist/thread_communicator.h"
#include "tests/core/model/model_run.h"
#include "tests/core/model/sizes.h"

namespace synthesizer {
namespace {

using ::testing::DoubleNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

constexpr int64_t kPositions = 16;

struct Document {
  std::vector<int32_t> inputs, targets;
};
using Row = std::vector<Document>;

// Two rows of documents, padding behind the second one's.
std::vector<Row> packed_rows() {
  return {{{{5, 9, 2, 1}, {7, 1}}, {{3, 8, 8, 30, 4, 1}, {12, 6, 21, 1}}, {{17}, {2}}},
          {{{11, 4, 1}, {9, 14, 1}}, {{6, 6, 23, 1}, {33, 1}}}};
}

std::vector<Row> alone(const std::vector<Row>& rows) {
  std::vector<Row> each;
  for (const Row& row : rows)
    for (const Document& document : row) each.push_back({document});
  return each;
}

RunSetting setting_of(Structure structure, const std::string& kind, size_t rows, bool packed) {
  RunSetting setting{.config = tiny(attention(kind, kPositions)), .gradients = true, .passes = true};
  setting.config.structure = structure;
  setting.shape = {.batch = static_cast<int64_t>(rows), .source_length = 11, .target_length = 8};
  setting.options.logits = true;
  setting.options.packed = packed;
  return setting;
}

// Where the model has such an input.
std::span<int32_t> ids(ModelRun& model, const std::string& name) {
  return model.has_input(name) ? model.ids(name.c_str()) : std::span<int32_t>();
}

// Writes a document's tokens, and beside them its number and their places: `side` is "input" or "target".
void write(ModelRun& model, const std::string& name, const std::string& side, std::span<const int32_t> tokens,
           size_t begin, int32_t number) {
  const auto put = [&](const std::string& input, auto value) {
    const std::span<int32_t> to = ids(model, input);
    for (size_t i = 0; i < tokens.size() && !to.empty(); ++i) to[begin + i] = value(i);
  };
  put(name, [&](size_t i) { return tokens[i]; });
  put(side + "_segments", [&](size_t) { return number; });
  put(side + "_positions", [&](size_t i) { return static_cast<int32_t>(i); });
  put(side + "_mask", [&](size_t) { return 1; });
}

// Feeds this rank's rows, of all; the loss is the mean over the targets of all.
void feed(ModelRun& model, const RunSetting& setting, const std::vector<Row>& rows, const Communicator& world) {
  for (const char* name : {"inputs", "input_segments", "input_positions", "input_mask", "decoder_inputs", "targets",
                           "target_segments", "target_positions"})
    std::ranges::fill(ids(model, name), 0);
  std::ranges::fill(model.input("weights"), 0);
  model.input("denominator")[0] = 0;
  for (const Row& row : rows)
    for (const Document& document : row) model.input("denominator")[0] += static_cast<double>(document.targets.size());

  const size_t own = rows.size() / static_cast<size_t>(world.size());
  for (size_t r = 0; r < own; ++r) {
    size_t input = r * static_cast<size_t>(setting.shape.source_length);
    size_t target = r * static_cast<size_t>(setting.shape.target_length);
    int32_t number = 0;
    for (const Document& document : rows[own * static_cast<size_t>(world.rank()) + r]) {
      std::vector<int32_t> shifted(1, 0);
      shifted.insert(shifted.end(), document.targets.begin(), document.targets.end() - 1);
      write(model, "inputs", "input", document.inputs, input, ++number);
      write(model, "decoder_inputs", "target", shifted, target, number);
      write(model, "targets", "target", document.targets, target, number);
      std::fill_n(model.input("weights").begin() + static_cast<std::ptrdiff_t>(target), shifted.size(), 1);
      input += document.inputs.size();
      target += document.targets.size();
    }
  }
}

using Outputs = std::map<std::string, std::vector<double>>;

// What the first rank has; `change` is made to the parameters first.
Outputs run(const RunSetting& setting, const std::vector<Row>& rows, int ranks = 1,
            const std::function<void(ModelRun&)>& change = nullptr) {
  Outputs outputs;
  run_ranks(ranks, [&](Communicator& world) {
    ModelRun model(setting, &world);
    if (change) change(model);
    feed(model, setting, rows, world);
    model.run();
    if (world.rank() == 0)
      for (const std::string& name : model.outputs()) outputs[name] = model.output(name);
  });
  return outputs;
}

// The logits of the documents' targets, one after the other.
std::vector<double> logits(const RunSetting& setting, const Outputs& outputs, const std::vector<Row>& rows) {
  const std::vector<double>& all = outputs.at("logits");
  const auto vocab = static_cast<size_t>(setting.config.rows()),
             target = static_cast<size_t>(setting.shape.target_length);
  std::vector<double> live;
  for (size_t r = 0; r < rows.size(); ++r) {
    size_t at = r * target;
    for (const Document& document : rows[r])
      for (size_t i = 0; i < document.targets.size(); ++i, ++at)
        live.insert(live.end(), all.begin() + static_cast<std::ptrdiff_t>(at * vocab),
                    all.begin() + static_cast<std::ptrdiff_t>((at + 1) * vocab));
  }
  return live;
}

void expect_equal(const std::string& name, const std::vector<double>& got, const std::vector<double>& expected) {
  EXPECT_THAT(got, Pointwise(DoubleNear(1e-11), expected)) << name;
}

void expect_equal_but_logits(const Outputs& got, const Outputs& expected) {
  for (const auto& [name, values] : expected) {
    if (name == "logits") continue;
    ASSERT_TRUE(got.contains(name)) << name;
    expect_equal(name, got.at(name), values);
  }
}

std::vector<std::string> kinds() {
  std::vector<std::string> kinds = attention_names();
  std::erase(kinds, "Linformer");
  for (const char* mixture : {"R+V", "D+R+V", "FR+V", "R+FR", "FR+FD", "Conv+R", "Conv+V"}) kinds.emplace_back(mixture);
  return kinds;
}

TEST(PackedRows, AreTheirDocumentsAlone) {
  const std::vector<Row> packed = packed_rows(), each = alone(packed);
  for (const Structure structure : {Structure::kEncoderDecoder, Structure::kDecoder})
    for (const std::string& kind : kinds()) {
      const RunSetting together = setting_of(structure, kind, packed.size(), true);
      const RunSetting apart = setting_of(structure, kind, each.size(), false);
      const Outputs expected = run(apart, each);
      for (const int ranks : {1, 2}) {
        SCOPED_TRACE(fmt::format("{}, structure {}, {} ranks", kind, static_cast<int>(structure), ranks));
        const Outputs got = run(together, packed, ranks);
        if (ranks == 1) expect_equal("logits", logits(together, got, packed), logits(apart, expected, each));
        expect_equal_but_logits(got, expected);
      }
    }
}

// What is not by blocks brings each term to where the tokens are; and what all heads share of a hidden layer.
TEST(PackedRows, WithWholeScoresAndOneHiddenLayerForAllHeads) {
  const std::vector<Row> packed = packed_rows(), each = alone(packed);
  for (const char* kind : {"D+R+V", "D", "D+FR"})
    for (const bool fused : {false, true}) {
      SCOPED_TRACE(fmt::format("{}, {}", kind, fused ? "fused" : "not fused"));
      RunSetting together = setting_of(Structure::kEncoderDecoder, kind, packed.size(), true);
      RunSetting apart = setting_of(Structure::kEncoderDecoder, kind, each.size(), false);
      for (RunSetting* setting : {&together, &apart})
        setting->config.encoder.dense_width = setting->config.decoder.dense_width = DenseWidth::kModel;
      together.options.fused = fused;
      apart.options.fused = false;
      expect_equal_but_logits(run(together, packed, 2), run(apart, each));
    }
}

TEST(PackedRows, OfAUniversalStackToo) {
  const std::vector<Row> packed = packed_rows(), each = alone(packed);
  RunSetting together = setting_of(Structure::kEncoderDecoder, "R+V", packed.size(), true);
  RunSetting apart = setting_of(Structure::kEncoderDecoder, "R+V", each.size(), false);
  together.config.universal = apart.config.universal = true;
  const Outputs got = run(together, packed), expected = run(apart, each);
  expect_equal_but_logits(got, expected);
}

// Moves what the parameter has for position `by` and those behind it to 0 and those behind that, along its last
// `dims` dims of kPositions each.
void shift(ModelRun& model, const std::string& name, int dims, int64_t by) {
  const auto values = model.parameter(name);
  const std::vector<double> before(values.begin(), values.end());
  const int64_t block = dims == 2 ? kPositions * kPositions : kPositions;
  for (int64_t i = 0; i < static_cast<int64_t>(values.size()); ++i) {
    const int64_t row = dims == 2 ? i % block / kPositions : 0, column = i % kPositions;
    const int64_t from_row = dims == 2 ? row + by : row;
    if (column + by < kPositions && from_row < kPositions)
      values[static_cast<size_t>(i)] =
          before[static_cast<size_t>(i / block * block + from_row * (dims == 2 ? kPositions : 0) + column + by)];
  }
}

// By the row's positions the second document meets what is sized by position from where it begins.
TEST(PackedRows, ByPositionsOfTheRow) {
  const std::vector<Row> packed = {packed_rows()[0]};
  const Document& second = packed[0][1];
  const auto begin = static_cast<int64_t>(packed[0][0].targets.size());
  for (const auto& [kind, parameters] : std::map<std::string, std::map<std::string, int>>{
           {"R", {{"r.logits", 2}}}, {"Fix", {{"fix.logits", 2}}}, {"D", {{"d.w2", 1}, {"d.b2", 1}}}}) {
    SCOPED_TRACE(kind);
    RunSetting together = setting_of(Structure::kDecoder, kind, 1, true);
    together.config.packed_positions = PackedPositions::kRow;
    const RunSetting apart = setting_of(Structure::kDecoder, kind, 1, false);
    const Outputs shifted = run(apart, {{second}}, 1, [&, &shifts = parameters](ModelRun& model) {
      for (int64_t layer = 0; layer < apart.config.decoder_layers; ++layer)
        for (const auto& [name, dims] : shifts)
          shift(model, fmt::format("decoder.layers.{}.self_attention.{}", layer, name), dims, begin);
    });
    const std::vector<double> all = logits(together, run(together, packed), packed);
    const std::vector<double> expected = logits(apart, shifted, {{second}});
    const auto from = all.begin() + begin * together.config.rows();
    const std::vector<double> got(from, from + static_cast<std::ptrdiff_t>(expected.size()));
    expect_equal("logits", got, expected);
    EXPECT_NE(got, logits(apart, run(apart, {{second}}), {{second}}));
  }
}

TEST(PackedRows, AreRefusedWhereTheyMakeNoSense) {
  const auto refused = [](const RunSetting& setting) -> std::string {
    try {
      ModelRun model(setting);
      return "nothing";
    } catch (const UsageError& error) {
      return error.what();
    }
  };
  RunSetting linformer = setting_of(Structure::kEncoderDecoder, "Linformer", 2, true);
  linformer.config.decoder = attention("V", kPositions);
  EXPECT_THAT(refused(linformer), HasSubstr("Linformer] it mixes positions"));
  RunSetting classifier = setting_of(Structure::kEncoderClassifier, "R", 2, true);
  classifier.config.num_classes = 3;
  EXPECT_THAT(refused(classifier), HasSubstr("packed rows: got a classifier"));
}

}  // namespace
}  // namespace synthesizer
