// `train --profile N` of the real program on two ranks.
#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/launch/workplace.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int kSteps = 3;

std::vector<std::string> train(const std::string& run, const std::string& steps, const std::string& profile = "") {
  std::vector<std::string> words = {"train", "run.txtpb", "--run", run, "--steps", steps};
  if (!profile.empty()) words.insert(words.end(), {"--profile", profile});
  return words;
}

std::vector<std::vector<std::string>> csv_rows(const std::string& text) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    rows.emplace_back();
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) rows.back().push_back(cell);
  }
  return rows;
}

// Weights and optimizer state of a run's last checkpoint.
std::pair<std::string, std::string> state_of(const fs::path& run) {
  const auto files = tree(run / "checkpoints/step_00000007");
  return {files.at("model.safetensors"), files.at("optimizer.safetensors")};
}

TEST(Profile, OfTwoRanks) {
  const Workplace place;
  const ProgramResult plain = run_ranks(2, train("plain", "7"), place.path());
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_FALSE(fs::exists(place.path() / "plain/profile"));
  const ProgramResult profiled = run_ranks(2, train("profiled", "7", "3"), place.path());
  ASSERT_EQ(profiled.exit_code, 0) << profiled.err;
  EXPECT_EQ(profiled.out, "profiled\n");
  EXPECT_THAT(profiled.err, HasSubstr("3 steps from 3, "));
  EXPECT_THAT(profiled.err, HasSubstr("its limits: "));
  EXPECT_TRUE(state_of(place.path() / "profiled") == state_of(place.path() / "plain"));

  const auto files = tree(place.path() / "profiled/profile");
  ASSERT_EQ(files.size(), 2u);
  const auto trace = nlohmann::json::parse(files.at("trace.json"));
  std::map<int, std::string> processes;
  std::map<std::pair<int, int>, std::string> threads;
  // Of each rank and op: calls and microseconds, by lane.
  std::map<std::string, std::pair<int64_t, double>> traced;
  double steps[2] = {0, 0};
  for (const auto& event : trace.at("traceEvents")) {
    const int rank = event.at("pid"), lane = event.at("tid");
    if (event.at("name") == "process_name") processes[rank] = event.at("args").at("name");
    if (event.at("name") == "thread_name") threads[{rank, lane}] = event.at("args").at("name");
    if (event.at("ph") != "X") continue;
    if (event.at("cat") == "step") {
      steps[rank] += event.at("dur").get<double>();
      continue;
    }
    EXPECT_EQ(event.at("args").at("op"), event.at("cat"));
    if (lane == 1) {
      EXPECT_EQ(event.at("args").at("axis"), "data");
      EXPECT_GE(event.at("args").at("bytes_sent"), 4);
    }
    auto& [calls, time] = traced[std::to_string(rank) + threads[{rank, lane}] + event.at("cat").get<std::string>()];
    ++calls;
    time += event.at("dur").get<double>();
  }
  EXPECT_EQ(processes, (std::map<int, std::string>{{0, "rank 0 (data 0)"}, {1, "rank 1 (data 1)"}}));
  EXPECT_EQ(threads,
            (std::map<std::pair<int, int>, std::string>{
                {{0, 0}, "compute"}, {{0, 1}, "communication"}, {{1, 0}, "compute"}, {{1, 1}, "communication"}}));

  // The table has the trace's calls and times, and they add up to the steps.
  const auto rows = csv_rows(files.at("by_op.csv"));
  double shares[2] = {0, 0}, milliseconds[2] = {0, 0};
  size_t matched = 0;
  for (size_t i = 1; i < rows.size(); ++i) {
    const auto& row = rows[i];
    const auto rank = static_cast<size_t>(std::stoi(row.at(0)));
    if (row.at(1) == "compute") {
      milliseconds[rank] += std::stod(row.at(4));
      shares[rank] += std::stod(row.at(5));
    }
    if (row.at(2) == "rest") continue;
    const auto& [calls, time] = traced.at(row.at(0) + row.at(1) + row.at(2));
    EXPECT_EQ(std::stoll(row.at(3)), calls) << row.at(2);
    EXPECT_EQ(calls % kSteps, 0) << row.at(2);
    EXPECT_NEAR(std::stod(row.at(4)) * 1e3, time, 1e-2 * static_cast<double>(calls)) << row.at(2);
    ++matched;
  }
  EXPECT_EQ(matched, traced.size());
  for (int rank = 0; rank < 2; ++rank) {
    EXPECT_NEAR(shares[rank], 1, 1e-3);
    EXPECT_NEAR(milliseconds[rank] * 1e3, steps[rank], 1);
  }
  EXPECT_TRUE(traced.contains("1communicationall_reduce"));
  EXPECT_TRUE(traced.contains("1computewait for all_reduce"));
  EXPECT_TRUE(traced.contains("0computeeinsum"));
}

// Of a run that goes on, the steps after its first two; too few are refused and leave it as it is.
TEST(Profile, OfARunThatGoesOn) {
  const Workplace place;
  place.must(train("run", "4"));
  const auto before = tree(place.path());
  const ProgramResult refused = place.run(train("run", "6", "1"));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--profile: got 1, expected at most 0: 2 step(s) are left, of which 2 warm up"));
  EXPECT_TRUE(tree(place.path()) == before);
  const ProgramResult profiled = place.run(train("run", "7", "1"));
  EXPECT_EQ(profiled.exit_code, 0) << profiled.err;
  EXPECT_THAT(profiled.err, HasSubstr("rank 0: 1 steps from 7, "));
  EXPECT_THAT(profiled.err, HasSubstr("every rank: run/profile/by_op.csv, run/profile/trace.json"));
}

}  // namespace
}  // namespace synthesizer
