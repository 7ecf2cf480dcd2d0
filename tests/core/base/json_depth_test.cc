#include "core/base/json_depth.h"

#include <gmock/gmock.h>

#include "core/base/error.h"

namespace synthesizer {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(JsonDepth, CountsWhatIsOpen) {
  EXPECT_NO_THROW(check_json_depth(nested(kDeepestJson), "x.json"));
  EXPECT_NO_THROW(check_json_depth("[" + nested(kDeepestJson - 1) + nested(kDeepestJson - 1) + "]", "x.json"));
  EXPECT_THAT([] { check_json_depth(nested(kDeepestJson + 1), "x.json"); },
              ThrowsMessage<UsageError>(HasSubstr("x.json: brackets are nested deeper than 64 at byte 64")));
  EXPECT_THROW(check_json_depth(std::string(100, '{'), "x.json"), UsageError);
}

TEST(JsonDepth, BracketsInTextDoNotCount) {
  EXPECT_NO_THROW(check_json_depth("{\"a\": \"" + std::string(1000, '[') + "\"}", "x.json"));
  EXPECT_NO_THROW(check_json_depth(R"(["\"[[[[", "\\"])" + nested(kDeepestJson), "x.json"));
  EXPECT_THROW(check_json_depth(R"(["\\", )" + nested(kDeepestJson), "x.json"), UsageError);
  EXPECT_NO_THROW(check_json_depth("\"\\", "x.json"));
}

}  // namespace
}  // namespace synthesizer
