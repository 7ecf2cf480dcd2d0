// Against numbers worked out by hand.
#include "core/optim/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/base/error.h"

namespace synthesizer {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Schedule, WarmUpIsStraightAndSkipsZero) {
  for (const ScheduleKind kind :
       {ScheduleKind::kConstant, ScheduleKind::kLinear, ScheduleKind::kCosine, ScheduleKind::kInverseSqrt}) {
    const ScheduleConfig config{.kind = kind, .rate = 0.8, .warmup = 4, .decay_steps = 12};
    EXPECT_DOUBLE_EQ(learning_rate(config, 0), 0.2);
    EXPECT_DOUBLE_EQ(learning_rate(config, 1), 0.4);
    EXPECT_DOUBLE_EQ(learning_rate(config, 3), 0.8);
    EXPECT_DOUBLE_EQ(learning_rate(config, 4), 0.8);
  }
}

TEST(Schedule, Constant) {
  const ScheduleConfig config{.kind = ScheduleKind::kConstant, .rate = 0.001, .warmup = 0};
  EXPECT_EQ(learning_rate(config, 0), 0.001);
  EXPECT_EQ(learning_rate(config, 1'000'000), 0.001);
}

TEST(Schedule, Linear) {
  const ScheduleConfig config{.kind = ScheduleKind::kLinear, .rate = 1, .warmup = 4, .end = 0.2, .decay_steps = 12};
  EXPECT_DOUBLE_EQ(learning_rate(config, 6), 0.8);
  EXPECT_DOUBLE_EQ(learning_rate(config, 8), 0.6);
  EXPECT_DOUBLE_EQ(learning_rate(config, 11), 0.3);
  EXPECT_DOUBLE_EQ(learning_rate(config, 12), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(config, 100), 0.2);
}

// cos(60°) = 1/2, cos(90°) = 0, cos(120°) = -1/2.
TEST(Schedule, Cosine) {
  const ScheduleConfig config{.kind = ScheduleKind::kCosine, .rate = 1, .warmup = 0, .end = 0.2, .decay_steps = 6};
  EXPECT_DOUBLE_EQ(learning_rate(config, 0), 1);
  EXPECT_DOUBLE_EQ(learning_rate(config, 2), 0.8);
  EXPECT_DOUBLE_EQ(learning_rate(config, 3), 0.6);
  EXPECT_DOUBLE_EQ(learning_rate(config, 4), 0.4);
  EXPECT_DOUBLE_EQ(learning_rate(config, 6), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(config, 7), 0.2);
}

TEST(Schedule, InverseSqrt) {
  const ScheduleConfig config{.kind = ScheduleKind::kInverseSqrt, .rate = 0.5, .warmup = 100};
  EXPECT_DOUBLE_EQ(learning_rate(config, 49), 0.25);
  EXPECT_DOUBLE_EQ(learning_rate(config, 100), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(config, 400), 0.25);
  EXPECT_DOUBLE_EQ(learning_rate(config, 2500), 0.1);
  const ScheduleConfig cold{.kind = ScheduleKind::kInverseSqrt, .rate = 0.5, .warmup = 0};
  EXPECT_DOUBLE_EQ(learning_rate(cold, 0), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(cold, 4), 0.25);
}

// T5: 0.01 for 10,000 steps, then 1 / sqrt(step).
TEST(Schedule, Rsqrt) {
  const ScheduleConfig config;
  EXPECT_DOUBLE_EQ(learning_rate(config, 0), 0.01);
  EXPECT_DOUBLE_EQ(learning_rate(config, 10000), 0.01);
  EXPECT_DOUBLE_EQ(learning_rate(config, 40000), 0.005);
  EXPECT_DOUBLE_EQ(learning_rate(config, 1'000'000), 0.001);
  EXPECT_DOUBLE_EQ(learning_rate({.rate = 2, .warmup = 0}, 0), 2);
  EXPECT_DOUBLE_EQ(learning_rate({.rate = 2, .warmup = 0}, 16), 0.5);
}

TEST(Schedule, RsqrtWithDecay) {
  const ScheduleConfig config{.warmup = 100, .decay_steps = 1000, .decay_fraction = 0.1};
  EXPECT_DOUBLE_EQ(learning_rate(config, 0), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(config, 400), 0.05);
  EXPECT_DOUBLE_EQ(learning_rate(config, 900), 1.0 / 30);
  EXPECT_NEAR(learning_rate(config, 961), 0.39 / 31, 1e-15);
  EXPECT_EQ(learning_rate(config, 1000), 0);
  EXPECT_EQ(learning_rate(config, 2000), 0);
}

TEST(Schedule, WrongFieldsAreUsageErrors) {
  const auto checking = [](ScheduleConfig config) { return [config] { check_schedule(config); }; };
  check_schedule({});
  EXPECT_THAT(checking({.rate = -1}), ThrowsMessage<UsageError>(HasSubstr("schedule.learning_rate: got -1")));
  EXPECT_THROW(check_schedule({.rate = std::numeric_limits<double>::quiet_NaN()}), UsageError);
  EXPECT_THAT(checking({.warmup = -5}), ThrowsMessage<UsageError>(HasSubstr("schedule.warmup: got -5")));
  EXPECT_THAT(
      checking({.kind = ScheduleKind::kCosine, .warmup = 10, .decay_steps = 10}),
      ThrowsMessage<UsageError>(HasSubstr("schedule.decay_steps: got 10, expected more than the warmup of 10")));
  EXPECT_THAT(checking({.decay_steps = 10, .decay_fraction = 2}),
              ThrowsMessage<UsageError>(HasSubstr("schedule.decay_fraction: got 2")));
  EXPECT_THAT(checking({.decay_fraction = 0.1}), ThrowsMessage<UsageError>(HasSubstr("schedule.decay_steps: got 0")));
  EXPECT_THROW(learning_rate({}, -1), Error);
}

}  // namespace
}  // namespace synthesizer
