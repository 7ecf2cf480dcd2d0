// `synthesizer plan --device`: time, memory and the largest batch, as a user sees them.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/launch/workplace.h"

namespace synthesizer {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

json plan(const Workplace& place, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"plan", "run.txtpb", "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return json::parse(place.must(arguments));
}

// A device by hand of so many bytes, in the workplace.
void write_device(const Workplace& place, int64_t memory_bytes) {
  place.folder().write(
      "mine.txtpb",
      fmt::format(
          R"(name: "mine" memory_bytes: {} reserved_bytes: 0 memory_bandwidth: 1e10 vector_flops: 1e10 op_seconds: 1e-6
         products {{ precision: FP32 peak: 1e11 reached: 0.9 half_rows: 8 half_columns: 8 half_depth: 8 }}
         ranks_per_host: 2 inside {{ latency: 1e-6 bandwidth: 1e9 }} between {{ latency: 1e-5 bandwidth: 1e8 }}
         steps: DIRECT taken: 0.5)",
          memory_bytes));
}

TEST(PlanWithADevice, TellsTimeBoundAndCost) {
  const Workplace place;
  write_device(place, int64_t{1} << 40);
  const json one = plan(place, {"--device", "mine.txtpb", "--set", "steps=1000"});
  const double step = one.at("seconds").at("step");
  EXPECT_EQ(one.at("device"), "mine");
  EXPECT_NEAR(one.at("tokens_per_second"), one.at("tokens").get<double>() / step, 1e-6);
  EXPECT_NEAR(one.at("utilisation"), one.at("product_flops").get<double>() / step / 1e11, 1e-9);
  EXPECT_NEAR(one.at("days"), 1000 * step / 86400, 1e-12);
  EXPECT_NEAR(one.at("rank_hours"), 1000 * step / 3600, 1e-12);
  EXPECT_EQ(one.at("seconds").at("communication"), 0);
  EXPECT_EQ(one.at("memory").at("fits"), true);

  const json four = plan(place, {"--device", "mine.txtpb", "--mesh", "data=4", "--set", "steps=1000"});
  EXPECT_GT(four.at("seconds").at("communication"), 0);
  EXPECT_NEAR(four.at("rank_hours"), 4000 * four.at("seconds").at("step").get<double>() / 3600, 1e-12);
  EXPECT_THAT(place.must({"plan", "run.txtpb", "--device", "h100"}),
              AllOf(HasSubstr("seconds of a step on h100"), HasSubstr("bound: "), HasSubstr("memory: fits: needs "),
                    HasSubstr("rank-hours")));
}

// The batch that is named fits to the byte; what the mesh could share out next does not.
TEST(PlanWithADevice, TheLargestBatchFitsAndTheNextDoesNot) {
  const Workplace place;
  const auto bytes = [&](const std::string& mesh, int64_t batch) {
    return plan(place, {"--mesh", mesh, "--set", fmt::format("data.batch={}", batch)})
        .at("bytes")
        .at("all")
        .get<int64_t>();
  };
  for (const std::string mesh : {"data=1", "data=2", "tensor=2"}) {
    const int64_t unit = mesh == "data=2" ? 2 : 1;
    write_device(place, bytes(mesh, 37 * unit));
    const json planned = plan(place, {"--mesh", mesh, "--device", "mine.txtpb"});
    EXPECT_EQ(planned.at("largest_batch"), 37 * unit) << mesh;
    EXPECT_GT(bytes(mesh, 38 * unit), bytes(mesh, 37 * unit));
    write_device(place, bytes(mesh, 37 * unit) - 1);
    EXPECT_EQ(plan(place, {"--mesh", mesh, "--device", "mine.txtpb"}).at("largest_batch"), 36 * unit) << mesh;
  }
  write_device(place, bytes("data=1", 1) - 1);
  const json none = plan(place, {"--device", "mine.txtpb"});
  EXPECT_EQ(none.at("largest_batch"), 0);
  EXPECT_EQ(none.at("memory").at("fits"), false);
  EXPECT_THAT(place.must({"plan", "run.txtpb", "--device", "mine.txtpb"}),
              AllOf(HasSubstr("memory: does not fit: needs "), HasSubstr("not even one row a rank")));
}

// Two heads: tensor is 1 or 2; four rows: data is 1, 2 or 4. No more is allowed, and each is what `plan` says of it.
TEST(PlanSearch, ListsTheMeshesThatAreAllowedTheFastestFirst) {
  const Workplace place;
  write_device(place, int64_t{1} << 40);
  std::istringstream lines(
      place.must({"plan", "run.txtpb", "--search", "--ranks", "1,4", "--device", "mine.txtpb", "--json"}));
  std::string line;
  std::getline(lines, line);
  const json alone = json::parse(line);
  EXPECT_EQ(alone.at("ranks"), 1);
  EXPECT_EQ(alone.at("fastest").size(), 1u);  // zero is nothing with one data rank
  std::getline(lines, line);
  const json four = json::parse(line);
  EXPECT_EQ(four.at("tried"), 4);
  std::set<std::string> found;
  double last = 0;
  for (const json& row : four.at("fastest")) {
    const int data = row.at("mesh").at("data"), tensor = row.at("mesh").at("tensor"), zero = row.at("zero");
    EXPECT_EQ(data * tensor, 4);
    found.insert(fmt::format("{}x{} zero {}", data, tensor, zero));
    EXPECT_GE(row.at("seconds"), last);
    last = row.at("seconds");
    const json same = plan(place, {"--mesh", fmt::format("data={},tensor={}", data, tensor), "--device", "mine.txtpb",
                                   "--set", fmt::format("parallel.zero={}", zero)});
    EXPECT_EQ(row.at("bytes"), same.at("bytes").at("all"));
    EXPECT_EQ(row.at("seconds"), same.at("seconds").at("step"));
    EXPECT_EQ(row.at("bound"), same.at("bound"));
    const json shares = row.at("shares");
    EXPECT_NEAR(shares.at("compute").get<double>() + shares.at("memory").get<double>() +
                    shares.at("overhead").get<double>() + shares.at("network").get<double>(),
                1, 1e-9);
  }
  EXPECT_EQ(found, (std::set<std::string>{"4x1 zero 0", "4x1 zero 1", "2x2 zero 0", "2x2 zero 1"}));
}

// Each thread has workspace of its own; nothing else depends on how many there are.
TEST(PlanOfThreads, NeedsMoreOnlyForTheStepAndEvaluation) {
  const Workplace place;
  json one = plan(place, {"--mesh", "data=2"}), three = plan(place, {"--mesh", "data=2", "--threads", "3"});
  EXPECT_EQ(one.at("threads"), 1);
  EXPECT_EQ(three.at("threads"), 3);
  EXPECT_GT(three.at("bytes").at("step"), one.at("bytes").at("step"));
  for (const char* same : {"parameters", "fixed", "optimizer", "sums", "copies", "buffers"})
    EXPECT_EQ(three.at("bytes").at(same), one.at("bytes").at(same)) << same;
  EXPECT_EQ(three.at("collectives"), one.at("collectives"));
  EXPECT_EQ(three.at("flops"), one.at("flops"));
}

TEST(PlanSearch, LeavesOutWhatDoesNotFitAndDraws) {
  const Workplace place;
  const auto bytes = [&](const std::string& mesh) {
    return plan(place, {"--mesh", mesh}).at("bytes").at("all").get<int64_t>();
  };
  const int64_t split = bytes("tensor=2"), whole = bytes("data=2");
  ASSERT_NE(split, whole);
  write_device(place, std::min(split, whole));
  const std::vector<std::string> search = {"plan", "run.txtpb", "--search", "--ranks", "2", "--device", "mine.txtpb"};
  auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> all = search;
    all.insert(all.end(), more.begin(), more.end());
    return place.must(all);
  };
  const json result = json::parse(with({"--json"}));
  // The mesh that needs less as it is; the other with what saves memory, of which nothing is tried that it does not
  // need.
  EXPECT_GT(result.at("tried"), 3);
  int as_it_is = 0, saving = 0;
  for (const json& row : result.at("fastest")) {
    EXPECT_LE(row.at("bytes"), std::min(split, whole));
    const bool saves = row.at("recompute") != "NONE" || row.at("microbatches") != 1;
    (saves ? saving : as_it_is) += 1;
    EXPECT_EQ(saves, row.at("mesh").at("tensor") != (split < whole ? 2 : 1)) << row;
  }
  EXPECT_GE(as_it_is, 1);
  EXPECT_GE(saving, 1);
  EXPECT_EQ(json::parse(with({"--batch-per-rank", "512", "--json"})).at("fastest").size(), 0u);
  EXPECT_THAT(with({"--batch-per-rank", "512"}), HasSubstr("none: the least of them needs "));
  with({"--svg", "speed.svg"});
  EXPECT_THAT(tree(place.path()).at("speed.svg"), AllOf(HasSubstr("<svg"), HasSubstr("run.txtpb, R+V on mine")));
}

}  // namespace
}  // namespace synthesizer
