#include "core/train/accumulation.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/base/error.h"

namespace synthesizer {
namespace {

// What the sums hold while the passes run, as text: "(0 + 1)" is the sum of the first two micro-batches.
std::string run(const Accumulation& accumulation) {
  std::vector<std::string> sums(8);
  const std::vector<AccumulationPass> passes = accumulation.passes();
  for (size_t i = 0; i < passes.size(); ++i) {
    std::string x = std::to_string(i);
    for (const int sum : passes[i].adds) x = "(" + sums[static_cast<size_t>(sum)] + " + " + x + ")";
    if (i + 1 == passes.size()) {
      EXPECT_EQ(passes[i].into, -1);
      return x;
    }
    EXPECT_GE(passes[i].into, 0);
    sums[static_cast<size_t>(passes[i].into)] = x;
  }
  return "";
}

TEST(Accumulation, AddsOneAfterTheOther) {
  EXPECT_EQ(run({}), "0");
  EXPECT_EQ(run({{.count = 3}, false}), "((0 + 1) + 2)");
  EXPECT_EQ(run({{.count = 4}, false}), "(((0 + 1) + 2) + 3)");
}

TEST(Accumulation, AddsInABalancedTree) {
  EXPECT_EQ(run({{.count = 1}, true}), "0");
  EXPECT_EQ(run({{.count = 4}, true}), "((0 + 1) + (2 + 3))");
  EXPECT_EQ(run({{.count = 8}, true}), "(((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)))");
}

// As few graphs as there are different passes.
TEST(Accumulation, RepeatsPasses) {
  const auto passes = Accumulation{{.count = 8}, true}.passes();
  EXPECT_EQ(passes[0], passes[2]);
  EXPECT_EQ(passes[1], passes[5]);
  EXPECT_EQ(passes[0], passes[6]);
  const auto flat = Accumulation{{.count = 8}, false}.passes();
  for (size_t i = 2; i < 7; ++i) EXPECT_EQ(flat[i], flat[1]);
  EXPECT_THROW((Accumulation{{.count = 6}, true}.passes()), Error);
}

}  // namespace
}  // namespace synthesizer
