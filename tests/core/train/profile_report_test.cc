// Rows and events of a profile whose times are known.
#include "core/train/profile_report.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace synthesizer {
namespace {

using Kind = TimelineSlot::Kind;
using testing::HasSubstr;

constexpr int64_t kMs = 1'000'000;

// Two steps of 100 ms: a product of 40 ms bound by its operations, one of 10 ms bound by its bytes, a collective of 30
// ms of which the last 20 are waited for.
RankProfile two_steps() {
  const std::vector<SlotFigures> slots = {
      {.kind = Kind::kCompute, .name = "a/einsum", .op = "einsum", .shape = "[model 4]", .flops = 2'000, .bytes = 10},
      {.kind = Kind::kCommunication, .name = "a/sum", .op = "all_reduce", .axis = "data", .bytes = 600},
      {.kind = Kind::kCompute, .name = "b/einsum", .op = "einsum", .flops = 100, .bytes = 500},
      {.kind = Kind::kWait, .name = "wait for a/sum", .op = "wait for all_reduce"},
  };
  Timeline timeline(std::vector<TimelineSlot>(slots.size()), 2);
  RankProfile profile{.rank = 3, .title = "rank 3 \"(data 3)\"", .first_step = 8};
  profile.peak_flops = 100'000;
  profile.peak_bytes = 100'000;
  for (int64_t step = 0; step < 2; ++step) {
    const int64_t at = 1000 * kMs + step * 200 * kMs;
    TimeSpan* const spans = timeline.begin_run();
    spans[0] = {at, at + 40 * kMs};
    spans[1] = {at + 40 * kMs, at + 70 * kMs};
    spans[2] = {at + 40 * kMs, at + 50 * kMs};
    spans[3] = {at + 50 * kMs, at + 70 * kMs};
    profile.steps.push_back({at - 10 * kMs, at + 90 * kMs});
  }
  profile.programs.push_back({slots, timeline});
  return profile;
}

TEST(ProfileReport, RowsByOpTakeAllOfTheTime) {
  const std::vector<OpRow> rows = rows_by_op(two_steps());
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].op, "einsum");
  EXPECT_EQ(rows[0].calls, 4);
  EXPECT_NEAR(rows[0].seconds, 0.1, 1e-12);
  EXPECT_EQ(rows[0].flops, 4200);
  EXPECT_EQ(rows[0].bytes, 1020);
  // 20 ms of operations for the first, 5 ms of bytes for the second, twice each.
  EXPECT_NEAR(rows[0].least_seconds, 0.05, 1e-12);
  EXPECT_TRUE(rows[0].bound_by_flops);
  EXPECT_EQ(rows[1].op, "wait for all_reduce");
  EXPECT_NEAR(rows[1].share, 0.2, 1e-12);
  EXPECT_EQ(rows[1].least_seconds, 0);
  EXPECT_EQ(rows[2].op, "rest");
  EXPECT_NEAR(rows[2].share, 0.3, 1e-12);
  EXPECT_EQ(rows[3].lane, "communication");
  EXPECT_EQ(rows[3].bytes, 1200);
  EXPECT_NEAR(rows[3].seconds, 0.06, 1e-12);
}

TEST(ProfileReport, TableAndCsv) {
  const RankProfile profile = two_steps();
  const std::vector<OpRow> rows = rows_by_op(profile);
  const std::string table = op_table(profile, rows);
  EXPECT_THAT(table, HasSubstr("50% of GFLOP/s"));
  EXPECT_THAT(table, HasSubstr("2 steps from 8, 100.000 ms each"));
  const std::string csv = op_csv(profile, rows);
  EXPECT_THAT(csv, HasSubstr("3,compute,einsum,4,100.000000,0.500000,4200,1020,4.2e-05,1.02e-05,0.500000,flops\n"));
  EXPECT_THAT(csv, HasSubstr("3,compute,rest,2,60.000000,0.300000,0,0,,,,\n"));
  EXPECT_THAT(csv, HasSubstr("3,communication,all_reduce,2,60.000000,0.300000,0,1200,,2e-05,,\n"));
}

TEST(ProfileReport, TraceHasAProcessARankAndAThreadALane) {
  const auto events = nlohmann::json::parse("[" + trace_events(two_steps(), 990 * kMs) + "]");
  std::vector<nlohmann::json> slices;
  std::map<std::string, std::string> names;
  for (const auto& event : events) {
    EXPECT_EQ(event.at("pid"), 3);
    if (event.at("ph") == "X") slices.push_back(event);
    if (event.at("args").contains("name"))
      names[event.at("name").get<std::string>() + event.at("tid").dump()] = event.at("args").at("name");
  }
  EXPECT_EQ(names, (std::map<std::string, std::string>{{"process_name0", "rank 3 \"(data 3)\""},
                                                       {"thread_name0", "compute"},
                                                       {"thread_name1", "communication"}}));
  ASSERT_EQ(slices.size(), 10u);
  EXPECT_EQ(slices[0].at("name"), "step 8");
  EXPECT_EQ(slices[0].at("ts"), 0);
  EXPECT_EQ(slices[0].at("dur"), 100'000);
  EXPECT_EQ(slices[1].at("ts"), 200'000);
  const auto sum = *std::find_if(slices.begin(), slices.end(), [](const auto& s) { return s.at("name") == "a/sum"; });
  EXPECT_EQ(sum.at("tid"), 1);
  EXPECT_EQ(sum.at("ts"), 50'000);
  EXPECT_EQ(sum.at("dur"), 30'000);
  EXPECT_EQ(sum.at("args"), (nlohmann::json{{"op", "all_reduce"}, {"axis", "data"}, {"bytes_sent", 600}}));
  EXPECT_EQ(slices[2].at("args"),
            (nlohmann::json{{"op", "einsum"}, {"shape", "[model 4]"}, {"flops", 2000}, {"bytes", 10}}));
}

}  // namespace
}  // namespace synthesizer
