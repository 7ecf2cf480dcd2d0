// The attention strings: what is taken apart, and what is refused and how.
#include "core/attention/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/attention/factorized_dense.h"
#include "core/base/error.h"

namespace synthesizer {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string refusal(std::string_view text) {
  try {
    attention_parts(text, "encoder.attention");
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(AttentionParts, AreInOrderWithoutSpaces) {
  EXPECT_THAT(attention_parts("V"), ElementsAre("V"));
  EXPECT_THAT(attention_parts(" D + R+V "), ElementsAre("D", "R", "V"));
  EXPECT_THAT(attention_parts("FR+FD+Fix"), ElementsAre("FR", "FD", "Fix"));
}

TEST(AttentionParts, RefusesByName) {
  EXPECT_THAT(refusal("Rv"), AllOf(HasSubstr("encoder.attention"), HasSubstr("'Rv'"), HasSubstr("did you mean")));
  EXPECT_THAT(refusal("fix"), AllOf(HasSubstr("unknown attention function 'fix'"), HasSubstr("Fix")));
  EXPECT_THAT(refusal("R+R"), HasSubstr("R appears twice"));
  EXPECT_THAT(refusal("R++V"), HasSubstr("expected names joined by '+'"));
  EXPECT_THAT(refusal(""), HasSubstr("expected names joined by '+'"));
}

TEST(AttentionParts, RefusesOthersBesideWhatStandsAlone) {
  for (const char* name : {"LightConv", "DynConv", "Linformer"}) {
    EXPECT_THAT(attention_parts(name), ElementsAre(name));
    EXPECT_THAT(refusal(std::string(name) + "+V"), AllOf(HasSubstr(name), HasSubstr("stands alone")));
    EXPECT_THAT(refusal(std::string("R+") + name), AllOf(HasSubstr(name), HasSubstr("stands alone")));
  }
}

TEST(CheckAttention, JudgesTheMixture) {
  AttentionConfig config{.kind = "D+R+V", .mixture = Mixture::kSigmoid};
  EXPECT_THROW(check_attention(config), UsageError);
  config.kind = "D+V";
  EXPECT_NO_THROW(check_attention(config));
}

TEST(CheckAttention, JudgesTheFactors) {
  EXPECT_EQ(FactorizedDense::first_factor({.max_length = 512}), 32);
  EXPECT_EQ(FactorizedDense::first_factor({.max_length = 16}), 4);
  EXPECT_EQ(FactorizedDense::first_factor({.max_length = 17}), 17);
  EXPECT_EQ(FactorizedDense::first_factor({.max_length = 511}), 73);
  EXPECT_EQ(FactorizedDense::first_factor({.max_length = 512, .factor_a = 8}), 8);
  EXPECT_THROW(check_attention({.kind = "FD", .max_length = 16, .factor_a = 5}), UsageError);
  EXPECT_THROW(check_attention({.kind = "FR", .factor_rank = 0}), UsageError);
}

TEST(CheckAttention, JudgesTheSizesOfThePartsThereAre) {
  const AttentionConfig none{.factor_rank = 0, .bottleneck = 0, .filter_width = 0, .conv_heads = -1};
  const std::pair<const char*, const char*> cases[] = {{"Linformer", "factor_rank"},       {"Bottleneck", "bottleneck"},
                                                       {"R+ConvBottleneck", "bottleneck"}, {"Conv", "filter_width"},
                                                       {"LightConv", "filter_width"},      {"DynConv", "filter_width"}};
  for (const auto& [kind, field] : cases) {
    AttentionConfig config = none;
    config.kind = kind;
    try {
      check_attention(config, "encoder");
      ADD_FAILURE() << kind << " accepted";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr(std::string("encoder: ") + field + ": got 0, expected at least 1"));
    }
  }
  AttentionConfig unused = none;
  unused.kind = "D+R+GLU";
  EXPECT_NO_THROW(check_attention(unused));
  EXPECT_THROW(check_attention({.kind = "LightConv", .conv_heads = -1}), UsageError);
}

TEST(CheckAttention, JudgesWhatDependsOnTheStack) {
  const AttentionSizes sizes{.d_model = 12, .num_heads = 5, .d_head = 4};
  EXPECT_NO_THROW(check_self_attention({.kind = "Linformer"}, sizes, false));
  EXPECT_THROW(check_self_attention({.kind = "Linformer"}, sizes, true), UsageError);
  for (const char* kind : {"LightConv", "DynConv"})
    for (const bool causal : {false, true}) {
      EXPECT_NO_THROW(check_self_attention({.kind = kind, .conv_heads = 12}, sizes, causal));
      EXPECT_THROW(check_self_attention({.kind = kind, .conv_heads = 8}, sizes, causal), UsageError);
      EXPECT_THROW(check_self_attention({.kind = kind}, sizes, causal), UsageError) << "5 heads";
    }
  EXPECT_NO_THROW(check_self_attention({.kind = "V+Conv"}, sizes, true));
}

}  // namespace
}  // namespace synthesizer
