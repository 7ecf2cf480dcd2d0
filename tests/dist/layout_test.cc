#include "dist/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/error.h"

namespace synthesizer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Layout parse(std::string_view text) {
  static const std::vector<std::string> dims = {"batch", "heads", "ff", "vocab"};
  return parse_layout(text, MeshShape{{{"data", 4}, {"tensor", 2}}}, dims);
}

TEST(Layout, Parses) {
  const Layout layout = parse(" batch:data heads:tensor  ff:tensor\tvocab:tensor ");
  EXPECT_EQ(layout.axis("batch"), "data");
  EXPECT_EQ(layout.axis("ff"), "tensor");
  EXPECT_EQ(layout.axis("model"), "");
  EXPECT_EQ(to_string(layout), "batch:data ff:tensor heads:tensor vocab:tensor");
  EXPECT_EQ(parse(to_string(layout)), layout);
  EXPECT_EQ(parse(""), Layout{});
}

TEST(Layout, WrongTextIsAUsageError) {
  const auto parsing = [](std::string_view text) { return [text] { parse(text); }; };
  for (const char* text : {"batch", ":data", "batch:", "batch:data:tensor", "batch=data"})
    EXPECT_THAT(parsing(text), ThrowsMessage<UsageError>(HasSubstr("expected dimension:axis"))) << text;
  EXPECT_THAT(parsing("batch:date"), ThrowsMessage<UsageError>(AllOf(HasSubstr("'date'"), HasSubstr("mean data?"))));
  EXPECT_THAT(parsing("batch:x"), ThrowsMessage<UsageError>(HasSubstr("known: data, tensor")));
  EXPECT_THAT(parsing("head:tensor"), ThrowsMessage<UsageError>(AllOf(HasSubstr("'head'"), HasSubstr("mean heads?"))));
  EXPECT_THAT(parsing("ff:tensor batch:data ff:data"),
              ThrowsMessage<UsageError>(HasSubstr("'ff' is there twice, as 'ff:tensor' and 'ff:data'")));
}

}  // namespace
}  // namespace synthesizer
