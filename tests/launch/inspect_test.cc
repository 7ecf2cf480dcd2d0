// Looking inside a trained model, as a user does: a checkpoint's tensors, and alignments as tables and pictures.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/launch/workplace.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int64_t kHeads = 2, kInputs = 32, kMost = 40, kBuckets = 32;

// Rows of fields; the header is row 0.
std::vector<std::vector<std::string>> csv(const std::string& text) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    rows.emplace_back();
    std::istringstream fields(line);
    for (std::string field; std::getline(fields, field, ',');) rows.back().push_back(field);
  }
  return rows;
}

// The weights of a heatmap's row, by (head, query), counted from 1.
using Alignment = std::map<std::pair<int, int>, std::vector<double>>;

Alignment heatmap(const std::string& text) {
  Alignment rows;
  const auto table = csv(text);
  for (size_t i = 1; i < table.size(); ++i) {
    std::vector<double>& row = rows[{std::stoi(table[i][0]), std::stoi(table[i][1])}];
    for (size_t key = 2; key < table[i].size(); ++key) row.push_back(std::strtod(table[i][key].c_str(), nullptr));
  }
  return rows;
}

void expect_rows_sum_to_one(const Alignment& alignment) {
  for (const auto& [row, weights] : alignment) {
    double sum = 0;
    for (const double weight : weights) sum += weight;
    EXPECT_NEAR(sum, 1, 1e-5) << "head " << row.first << ", query " << row.second;
  }
}

std::vector<int64_t> counts(const std::string& text) {
  const auto table = csv(text);
  std::vector<int64_t> sums(table[0].size() - 2);
  for (size_t row = 1; row < table.size(); ++row)
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += std::stoll(table[row][i + 2]);
  return sums;
}

// The f32 elements of one tensor of a safetensors file.
std::vector<float> tensor(const std::string& file, const std::string& name) {
  uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof header);
  const auto entry = nlohmann::json::parse(file.substr(8, header)).at(name);
  const auto begin = entry.at("data_offsets")[0].get<size_t>(), end = entry.at("data_offsets")[1].get<size_t>();
  std::vector<float> values((end - begin) / sizeof(float));
  std::memcpy(values.data(), file.data() + 8 + header + begin, end - begin);
  return values;
}

// T5's bidirectional buckets.
int64_t bucket(int64_t query, int64_t key) {
  const int64_t half = kBuckets / 2, exact = half / 2, distance = std::abs(key - query);
  const int64_t side = key > query ? half : 0;
  if (distance < exact) return side + distance;
  const double share = std::log(static_cast<double>(distance) / exact) / std::log(128.0 / exact);
  return side + std::min(half - 1, exact + static_cast<int64_t>(share * static_cast<double>(half - exact)));
}

// softmax(R + bias) over the first `length` keys, from the checkpoint's own tensors.
std::vector<double> random_alignment(const std::string& model, const std::string& layer, int64_t head, int64_t query,
                                     int64_t length) {
  const std::vector<float> r = tensor(model, layer + ".self_attention.r.logits");
  const std::vector<float> bias = tensor(model, layer.substr(0, layer.find('.')) + ".relative_bias");
  std::vector<double> weights;
  double sum = 0;
  for (int64_t key = 0; key < length; ++key) {
    const float logit = r[static_cast<size_t>((head * kMost + query) * kMost + key)];
    const float shift = bias[static_cast<size_t>(bucket(query, key) * kHeads + head)];
    weights.push_back(std::exp(static_cast<double>(logit) + static_cast<double>(shift)));
    sum += weights.back();
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

// Two runs on the same text, R and V, of two encoder layers and one decoder layer.
class Inspect : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = std::make_unique<Workplace>();
    for (const char* kind : {"R", "V"})
      place_->must({"train", "run.txtpb", "--steps", "2", "--run", std::string("runs/") + kind, "--set",
                    "model.encoder.layers=2", "--set", std::string("model.encoder.attention=") + kind, "--set",
                    std::string("model.decoder.attention=") + kind, "--set", "schedule.learning_rate=0.05"});
  }
  static void TearDownTestSuite() { place_.reset(); }

  static std::string checkpoint(const std::string& run) { return "runs/" + run + "/checkpoints/step_00000002"; }
  static std::map<std::string, std::string> files(const std::string& folder) { return tree(place_->path() / folder); }

  // Exit 2, one line with these words, and no file is other than before.
  static void expect_refused(const std::vector<std::string>& arguments, const std::vector<std::string>& words,
                             const std::string& input = "") {
    SCOPED_TRACE(testing::PrintToString(arguments));
    const auto before = tree(place_->path());
    const ProgramResult result = place_->run(arguments, input);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    for (const std::string& word : words) EXPECT_THAT(result.err, HasSubstr(word));
    EXPECT_TRUE(tree(place_->path()) == before) << "the folder has changed";
  }

  static std::unique_ptr<Workplace> place_;
};

std::unique_ptr<Workplace> Inspect::place_;

TEST_F(Inspect, CheckpointListsEveryTensor) {
  std::istringstream lines(place_->must({"inspect", "checkpoint", checkpoint("R"), "--json"}));
  std::string line;
  std::getline(lines, line);
  const auto whole = nlohmann::json::parse(line);
  EXPECT_EQ(whole.at("step"), 2);
  EXPECT_EQ(whole.at("seed"), 1);
  EXPECT_EQ(whole.at("example"), 8);

  const auto state = nlohmann::json::parse(files(checkpoint("R")).at("state.json"));
  const std::string model = files(checkpoint("R")).at("model.safetensors");
  std::map<std::string, int64_t> tensors;
  bool compared = false;
  while (std::getline(lines, line)) {
    const auto of = nlohmann::json::parse(line);
    const auto file = of.at("file").get<std::string>(), name = of.at("name").get<std::string>();
    ++tensors[file];
    EXPECT_EQ(of.at("checksum"), state.at("checksums").at(file).at("tensors").at(name)) << name;
    EXPECT_EQ(of.at("nonfinite"), 0);
    if (name != "encoder.layers.1.self_attention.r.logits" || file != "model.safetensors") continue;
    compared = true;
    const std::vector<float> values = tensor(model, name);
    double squares = 0;
    for (const float value : values) squares += static_cast<double>(value) * static_cast<double>(value);
    EXPECT_NEAR(of.at("norm").get<double>(), std::sqrt(squares), 1e-9 * std::sqrt(squares));
    EXPECT_EQ(of.at("min").get<float>(), *std::min_element(values.begin(), values.end()));
    EXPECT_EQ(of.at("max").get<float>(), *std::max_element(values.begin(), values.end()));
    EXPECT_EQ(of.at("dims"), nlohmann::json({kHeads, kMost, kMost}));
    EXPECT_EQ(of.at("dtype"), "F32");
    EXPECT_EQ(of.at("bytes"), kHeads * kMost * kMost * 4);
  }
  EXPECT_TRUE(compared);
  for (const auto& [file, count] : tensors) {
    EXPECT_EQ(count, whole.at(file).at("tensors")) << file;
    EXPECT_EQ(static_cast<size_t>(count), state.at("checksums").at(file).at("tensors").size()) << file;
  }
  EXPECT_EQ(tensors.size(), 2u);

  const std::string table = place_->must({"inspect", "checkpoint", checkpoint("R")});
  EXPECT_THAT(table, HasSubstr("step 2, seed 1, program version"));
  EXPECT_THAT(table, HasSubstr("encoder.layers.1.self_attention.r.logits"));
}

TEST_F(Inspect, AlignmentsOfRandomAndDotProductOnTheSameText) {
  place_->must({"inspect", "alignment", "--checkpoint", checkpoint("R"), "--checkpoint", checkpoint("V"), "--layer",
                "1,2", "--examples", "3", "--output", "look"});
  const auto look = files("look");
  const auto& page = look.at("index.html");
  size_t pictures = 0;
  for (const auto& [name, text] : look) {
    if (!name.ends_with(".svg")) continue;
    ++pictures;
    EXPECT_THAT(page, HasSubstr("src=\"" + name + "\""));
    EXPECT_TRUE(look.contains(name.substr(0, name.size() - 3) + "csv")) << name;
  }
  EXPECT_EQ(pictures, 3u + 3u * 4u);  // places; each of two models initial and trained

  // R: the same for all examples. V: each example its own.
  const int64_t weights = kHeads * kInputs * kInputs;
  for (const char* layer : {"1", "2"})
    EXPECT_EQ(counts(look.at(std::string("histogram_encoder_layer_") + layer + ".csv")),
              (std::vector<int64_t>{weights, weights, 3 * weights, 3 * weights}));
  const Alignment decoder = heatmap(look.at("heatmap_decoder_layer_1_V_step_2.csv"));
  const auto targets = static_cast<int64_t>(decoder.size()) / kHeads;
  const int64_t seen = kHeads * targets * (targets + 1) / 2;
  EXPECT_EQ(counts(look.at("histogram_decoder_layer_1.csv")), (std::vector<int64_t>{seen, seen, 3 * seen, 3 * seen}));

  for (const char* sample : {"R_initial", "R_step_2", "V_initial", "V_step_2"}) {
    SCOPED_TRACE(sample);
    const Alignment encoder = heatmap(look.at(std::string("heatmap_encoder_layer_2_") + sample + ".csv"));
    EXPECT_EQ(encoder.size(), static_cast<size_t>(kHeads * kInputs));
    expect_rows_sum_to_one(encoder);
    const Alignment causal = heatmap(look.at(std::string("heatmap_decoder_layer_1_") + sample + ".csv"));
    expect_rows_sum_to_one(causal);
    for (const auto& [row, of] : causal)
      for (size_t key = static_cast<size_t>(row.second); key < of.size(); ++key) EXPECT_EQ(of[key], 0);
  }
  EXPECT_NE(look.at("heatmap_encoder_layer_2_R_initial.csv"), look.at("heatmap_encoder_layer_2_R_step_2.csv"));

  const std::string model = files(checkpoint("R")).at("model.safetensors");
  for (const auto& [row, of] : heatmap(look.at("heatmap_encoder_layer_2_R_step_2.csv"))) {
    const auto expected = random_alignment(model, "encoder.layers.1", row.first - 1, row.second - 1, kInputs);
    for (size_t key = 0; key < of.size(); ++key) EXPECT_NEAR(of[key], expected[key], 1e-6);
  }
}

TEST_F(Inspect, PaddingOfGivenTextCountsNowhere) {
  place_->must(
      {"inspect", "alignment", "--checkpoint", checkpoint("R"), "--layer", "1", "--input", "-", "--output", "given"},
      "A line.\n\n");
  const auto given = files("given");
  const Alignment alignment = heatmap(given.at("heatmap_encoder_layer_1_R_step_2.csv"));
  const auto live = static_cast<int64_t>(alignment.size()) / kHeads;
  ASSERT_GT(live, 2);
  ASSERT_LT(live, kInputs);
  EXPECT_EQ(counts(given.at("histogram_encoder_layer_1.csv")),
            (std::vector<int64_t>{kHeads * live * live, kHeads * live * live}));
  expect_rows_sum_to_one(alignment);
  const std::string model = files(checkpoint("R")).at("model.safetensors");
  for (const auto& [row, of] : alignment) {
    EXPECT_LE(row.second, live);
    const auto expected = random_alignment(model, "encoder.layers.0", row.first - 1, row.second - 1, live);
    for (int64_t key = 0; key < kInputs; ++key)
      if (key < live)
        EXPECT_NEAR(of[static_cast<size_t>(key)], expected[static_cast<size_t>(key)], 1e-6);
      else
        EXPECT_EQ(of[static_cast<size_t>(key)], 0);
  }
}

TEST_F(Inspect, WhatHasNoAlignmentIsSaid) {
  const auto train = [](const std::string& run, const std::string& encoder, const std::string& decoder) {
    place_->must({"train", "run.txtpb", "--steps", "2", "--run", "runs/" + run, "--set",
                  "model.encoder.attention=" + encoder, "--set", "model.decoder.attention=" + decoder});
  };
  const auto look = [](const std::string& run) {
    return place_->run(
        {"inspect", "alignment", "--checkpoint", checkpoint(run), "--layer", "1", "--output", "look_" + run});
  };
  train("half", "LightConv", "R");
  const ProgramResult half = look("half");
  EXPECT_EQ(half.exit_code, 0) << half.err;
  EXPECT_THAT(half.err, HasSubstr("LightConv has no alignment of queries to keys; no picture of the encoder"));
  EXPECT_TRUE(files("look_half").contains("heatmap_decoder_layer_1_half_step_2.csv"));
  EXPECT_FALSE(files("look_half").contains("heatmap_encoder_layer_1_half_step_2.csv"));

  train("none", "Linformer", "DynConv");
  const ProgramResult none = look("none");
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("no self-attention there has an alignment"));
  EXPECT_FALSE(fs::exists(place_->path() / "look_none"));
}

TEST_F(Inspect, AUniversalStackHasALayerForEachApplication) {
  place_->must({"train", "run.txtpb", "--steps", "2", "--run", "runs/universal", "--set", "model.universal=true",
                "--set", "model.encoder.layers=3"});
  place_->must(
      {"inspect", "alignment", "--checkpoint", checkpoint("universal"), "--layer", "1,3", "--output", "steps"});
  const auto steps = files("steps");
  for (const char* layer : {"1", "3"}) {
    const auto found = steps.find(std::string("heatmap_encoder_layer_") + layer + "_universal_step_2.csv");
    ASSERT_NE(found, steps.end()) << layer;
    expect_rows_sum_to_one(heatmap(found->second));
  }
}

TEST_F(Inspect, WrongUseWritesNothing) {
  const auto align = [](std::vector<std::string> more) {
    std::vector<std::string> all = {"inspect", "alignment", "--checkpoint", checkpoint("R"), "--output", "new"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  place_->folder().write("full/notes.txt", "mine");
  place_->folder().write("latin.txt", "caf\xe9\n");
  expect_refused({"inspect", "checkpoint", "nowhere"}, {"nowhere", "no such checkpoint"});
  expect_refused({"inspect", "checkpoint", "shards"}, {"shards", "not a checkpoint"});
  expect_refused({"inspect", "checkpoint", checkpoint("R"), "--jsn"}, {"--jsn", "--json"});
  expect_refused({"inspect", "checkpont"}, {"checkpont", "checkpoint"});
  expect_refused(align({}), {"--layer"});
  expect_refused(align({"--layer", "0"}),
                 {"--layer: got 0, expected 1 to 2", "the encoder has 2 and the decoder has 1"});
  expect_refused(align({"--layer", "1,99"}), {"--layer: got 99, expected 1 to 2"});
  expect_refused(align({"--layer", "one"}), {"--layer"});
  expect_refused(align({"--layer", "1", "--examples", "0"}), {"--examples"});
  expect_refused(align({"--layer", "1", "--heatmap"}), {"--heatmap"});
  expect_refused(align({"--layer", "1", "--checkpoint", checkpoint("R")}), {"given twice"});
  expect_refused(align({"--layer", "1", "--checkpoint", "nowhere"}), {"nowhere"});
  expect_refused(align({"--layer", "1", "--input", "missing.txt"}), {"missing.txt"});
  expect_refused(align({"--layer", "1", "--input", "latin.txt"}), {"latin.txt", "UTF-8"});
  expect_refused(align({"--layer", "1", "--input", "-"}), {"--input", "no text"}, "\n\n");
  const auto into = [](const std::string& output) {
    return std::vector<std::string>{"inspect", "alignment", "--checkpoint", checkpoint("R"),
                                    "--layer", "1",         "--output",     output};
  };
  expect_refused(into("full"), {"full", "notes.txt"});
  expect_refused(into("run.txtpb"), {"run.txtpb", "file"});
  expect_refused(into("run.txtpb/new"), {"run.txtpb/new", "cannot be made"});
}

TEST_F(Inspect, AnAlteredCheckpointIsRefusedByName) {
  fs::copy(place_->path() / checkpoint("R"), place_->path() / "altered", fs::copy_options::recursive);
  const fs::path file = place_->path() / "altered/model.safetensors";
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(-40, std::ios::end);
  const char byte = static_cast<char>(stream.get() ^ 1);
  stream.seekp(-40, std::ios::end);
  stream.put(byte);
  stream.close();
  expect_refused({"inspect", "checkpoint", "altered"}, {"altered/model.safetensors", "tensor", "is altered"});
  expect_refused({"inspect", "alignment", "--checkpoint", "altered", "--layer", "1", "--output", "new"},
                 {"altered/model.safetensors", "is altered"});
}

}  // namespace
}  // namespace synthesizer
