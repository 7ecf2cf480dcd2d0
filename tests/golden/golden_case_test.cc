// What makes the golden test fail rather than pass over: an empty folder, and cases that are not understood.
#include "tests/golden/golden_case.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/checkpoint/safetensors.h"

namespace synthesizer::golden {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

class GoldenFolder : public testing::Test {
 protected:
  GoldenFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "golden-XXXXXX").string();
    CHECK(mkdtemp(pattern.data()) != nullptr, "no temporary folder {}", pattern);
    folder_ = pattern;
  }
  ~GoldenFolder() override { std::filesystem::remove_all(folder_); }

  static Json attention() {
    return {{"kind", "V"},          {"max_length", 16}, {"factor_rank", 8},       {"factor_a", 0},
            {"mixture", "softmax"}, {"bottleneck", 16}, {"filter_width", 3},      {"conv_heads", 0},
            {"dense_bias", true},   {"scale", false},   {"tie_key_value", false}, {"share_across_heads", false}};
  }
  static Json config() {
    return {{"vocab", 64},
            {"d_model", 16},
            {"d_ff", 32},
            {"num_heads", 4},
            {"d_head", 4},
            {"encoder_layers", 2},
            {"decoder_layers", 2},
            {"structure", "encoder_decoder"},
            {"ffn", "relu"},
            {"relative_bias", true},
            {"num_buckets", 32},
            {"max_distance", 128},
            {"num_classes", 0},
            {"tie_output", true},
            {"universal", false},
            {"norm_eps", 1e-6},
            {"encoder_attention", attention()},
            {"decoder_attention", attention()}};
  }
  void write(const StringMap& metadata) {
    std::ofstream(folder_ / "case.safetensors", std::ios::binary) << SafetensorsLayout({}, metadata).header();
  }
  void write(const Json& config) { write(StringMap{{"config", config.dump()}, {"z_loss", "1e-4"}}); }
  // What load_cases says of the folder.
  std::string refusal() const {
    try {
      load_cases(folder_);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  std::filesystem::path folder_;
};

TEST_F(GoldenFolder, WithNoCaseIsRefused) { EXPECT_THAT(refusal(), HasSubstr("no golden case")); }

TEST_F(GoldenFolder, GivesTheConfiguration) {
  write(config());
  const std::vector<Case> cases = load_cases(folder_);
  ASSERT_EQ(cases.size(), 1u);
  EXPECT_EQ(cases[0].name, "case");
  EXPECT_EQ(cases[0].config.encoder.max_length, 16);
  EXPECT_EQ(cases[0].loss.z_loss, 1e-4);
}

TEST_F(GoldenFolder, WithAnUnknownFieldIsRefused) {
  Json changed = config();
  changed["rotary"] = true;
  write(changed);
  EXPECT_THAT(refusal(), HasSubstr("unknown field rotary"));
  changed = config();
  changed["decoder_attention"]["window"] = 3;
  write(changed);
  EXPECT_THAT(refusal(), HasSubstr("unknown field window"));
  write(StringMap{{"config", config().dump()}, {"temperature", "2"}});
  EXPECT_THAT(refusal(), HasSubstr("unknown metadata temperature"));
}

TEST_F(GoldenFolder, WithAnUnknownValueIsRefused) {
  Json changed = config();
  changed["encoder_attention"]["kind"] = "R+X";
  write(changed);
  EXPECT_THAT(refusal(), HasSubstr("unknown attention function 'X'"));
  changed = config();
  changed["structure"] = "pyramid";
  write(changed);
  EXPECT_THAT(refusal(), HasSubstr("unknown structure pyramid"));
}

TEST_F(GoldenFolder, GivesTheStructure) {
  Json changed = config();
  changed["universal"] = true;
  changed["structure"] = "encoder_classifier";
  changed["num_classes"] = 3;
  write(changed);
  const Case golden = load_cases(folder_)[0];
  EXPECT_TRUE(golden.config.universal);
  EXPECT_EQ(golden.config.structure, Structure::kEncoderClassifier);
  EXPECT_EQ(golden.config.num_classes, 3);
}

}  // namespace
}  // namespace synthesizer::golden
