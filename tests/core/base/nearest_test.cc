#include "core/base/nearest.h"

#include <gmock/gmock.h>

namespace synthesizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Nearest, FindsTyposCaseAndSwaps) {
  const std::vector<std::string> known = {"train", "eval", "generate", "data"};
  EXPECT_THAT(nearest_names("trian", known), ElementsAre("train"));
  EXPECT_THAT(nearest_names("DATA", known), ElementsAre("data"));
  EXPECT_THAT(nearest_hint("zzzzzz", known), HasSubstr("known: train, eval, generate, data"));
}

}  // namespace
}  // namespace synthesizer
