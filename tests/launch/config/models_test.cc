// The models that come with the project: each is built, and has as many parameters as the published and worked out
// counts say, to the two decimals they are given with.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "core/model/model.h"
#include "launch/config/check.h"
#include "launch/config/convert.h"
#include "launch/config/load.h"

namespace synthesizer {
namespace {

constexpr const char* kFolder = "configs/models";

// T5's vocabulary: 32,000 pieces and the sentinels, made 32,128.
void build(Graph& graph, const config::Run& run) {
  Vocabulary vocabulary;
  vocabulary.pieces = 32000;
  vocabulary.sentinels = run.data().sentinels();
  build_model(graph, model_config(run, vocabulary), {2, run.data().input_length(), run.data().target_length()},
              loss_config(run), {});
}

std::string millions(const std::string& model, const std::vector<std::string>& assignments = {}) {
  Graph graph;
  build(graph, load_run(fmt::format("{}/{}.txtpb", kFolder, model), assignments));
  return fmt::format("{:.2f}", static_cast<double>(count_parameters(graph)) / 1e6);
}

struct Count {
  std::string kind;  // after the size, as in "small_r"; empty: the size alone
  std::vector<std::string> assignments;
  std::string small, base;  // millions
};

// RECIPES of T5 1.0 with 32,128 words and 512 positions; both stacks, cross-attention always dot product.
const Count kCounts[] = {
    {"", {}, "60.51", "222.90"},
    {"_r", {}, "79.38", "270.09"},
    {"_r", {"model.encoder.attention=FR", "model.decoder.attention=FR"}, "55.00", "196.95"},
    {"_r",
     {"model.encoder.attention=FR", "model.decoder.attention=FR", "model.encoder.factor_rank=16",
      "model.decoder.factor_rank=16"},
     "55.79",
     "199.31"},
    {"_authors_d", {}, "57.75", "209.53"},
    {"_authors_r_v", {}, "85.67", "298.40"},
    {"_authors_d_v", {}, "60.90", "223.69"},
    {"_r", {"model.encoder.attention=Fix", "model.decoder.attention=Fix"}, "54.22", "194.59"},
    {"_d", {}, "60.56", "218.35"},
};

TEST(Models, HaveTheParametersOfThePapersRuns) {
  for (const Count& row : kCounts) {
    EXPECT_EQ(millions("small" + row.kind, row.assignments), row.small) << row.kind;
    EXPECT_EQ(millions("base" + row.kind, row.assignments), row.base) << row.kind;
  }
}

// 10.03 million over base: of the feed-forward's widths in multiples of 16 no other is nearer to 10.
TEST(Models, BasePlusHasTenMillionMoreThanBase) {
  const double base = std::stod(millions("base"));
  const double plus = std::stod(millions("base_plus"));
  EXPECT_NEAR(plus - base, 10.03, 0.011);
  for (const char* width : {"model.d_ff=3328", "model.d_ff=3360"})
    EXPECT_GT(std::abs(std::stod(millions("base_plus", {width})) - base - 10), std::abs(plus - base - 10)) << width;
}

// The published models of T5 1.1: 76,961,152 and 247,577,856 and 783,150,080.
TEST(Models, HaveTheParametersOfT5OneOne) {
  EXPECT_EQ(millions("t5_1_1_small"), "76.96");
  EXPECT_EQ(millions("t5_1_1_base"), "247.58");
  EXPECT_EQ(millions("t5_1_1_large"), "783.15");
}

TEST(Models, AreAllBuilt) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    SCOPED_TRACE(entry.path().string());
    names.insert(entry.path().stem().string());
    Graph graph;
    EXPECT_NO_THROW(build(graph, load_run(entry.path(), {})));
    EXPECT_GT(count_parameters(graph), 0);
  }
  for (const char* name : {"tiny", "small", "base", "base_plus", "large", "base_r_v", "translate_fix", "lm_r_d",
                           "classify_fr", "small_r_32_heads", "base_dynconv", "base_lightconv", "classify_linformer",
                           "translate_conv", "translate_convbottleneck", "translate_glu"})
    EXPECT_TRUE(names.contains(name)) << name;
}

}  // namespace
}  // namespace synthesizer
