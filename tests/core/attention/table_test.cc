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

TEST(AttentionParts, NamesWhatThisVersionHasNot) {
  for (const char* name : {"Conv", "Bottleneck", "ConvBottleneck", "GLU", "LightConv", "DynConv", "Linformer"})
    EXPECT_THAT(refusal(name), AllOf(HasSubstr(name), HasSubstr("not in this version")));
}

TEST(CheckAttention, JudgesTheMixture) {
  AttentionConfig config{.kind = "D+R+V", .mixture = Mixture::kSigmoid};
  EXPECT_THROW(check_attention(config), UsageError);
  config.kind = "D+V";
  EXPECT_NO_THROW(check_attention(config));
}

TEST(CheckAttention, JudgesTheFactors) {
  EXPECT_EQ(dense_factor({.max_length = 512}), 32);
  EXPECT_EQ(dense_factor({.max_length = 16}), 4);
  EXPECT_EQ(dense_factor({.max_length = 17}), 17);
  EXPECT_EQ(dense_factor({.max_length = 511}), 73);
  EXPECT_EQ(dense_factor({.max_length = 512, .factor_a = 8}), 8);
  EXPECT_THROW(check_attention({.kind = "FD", .max_length = 16, .factor_a = 5}), UsageError);
  EXPECT_THROW(check_attention({.kind = "FR", .factor_rank = 0}), UsageError);
}

}  // namespace
}  // namespace synthesizer
