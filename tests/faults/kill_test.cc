// Runs under mpirun that are killed or asked to stop, and started again by the same command, end as if nothing had
// happened.
#include <gmock/gmock.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "core/checkpoint/folder.h"
#include "core/train/metrics.h"
#include "tests/data/support.h"
#include "tests/faults/mpi_job.h"

namespace synthesizer::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int64_t kSteps = 120;

class Faults : public ::testing::Test {
 protected:
  void SetUp() override {
    shards_ = make_shards(folder_.path(), 600, 2);
    fs::create_directory(scratch());
    write_file(folder_ / "run.txtpb", R"(
      model { structure: ENCODER_DECODER max_length: 64 d_model: 96 d_ff: 192 num_heads: 4 d_head: 24
              encoder { layers: 1 attention: "R+V" } decoder { layers: 1 attention: "R+V" } }
      data { shards: ")" + shards_.string() +
                                          R"(" objective: SPAN_DENOISING input_length: 48 batch: 4 }
      optimizer { kind: ADAMW } schedule { kind: CONSTANT learning_rate: 0.001 }
      clip_norm: 1 dropout: 0.1 precision: FP32 steps: 120 seed: 5
      eval { every: 20 batches: 2 } checkpoint { every: 2 keep: 2 } log { every: 1 })");
  }

  fs::path scratch() const { return folder_ / "scratch"; }
  fs::path run(const std::string& name) const { return folder_ / name; }

  MpiJob start(const std::string& name, int ranks = 2, int64_t steps = kSteps) const {
    return MpiJob(ranks,
                  {SYNTHESIZER_PROGRAM, "train", (folder_ / "run.txtpb").string(), "--run", run(name).string(),
                   "--steps", std::to_string(steps)},
                  folder_ / (name + ".log"), scratch());
  }

  std::string log(const std::string& name) const { return read_file(folder_ / (name + ".log")); }

  // Step of the newest finished checkpoint, 0 without one.
  int64_t saved(const std::string& name) const {
    const auto steps = CheckpointFolder{run(name) / "checkpoints"}.list();
    return steps.empty() ? 0 : steps.rbegin()->first;
  }

  // The last step that has a whole line of metrics.
  int64_t logged(const std::string& name) const {
    std::ifstream in(run(name) / "metrics.jsonl");
    int64_t step = 0;
    for (std::string line; std::getline(in, line);) {
      const Json json = Json::parse(line, nullptr, false);
      if (json.is_object() && json.contains("loss")) step = json["step"];
    }
    return step;
  }

  bool saving(const std::string& name) const {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(run(name) / "checkpoints", ignored))
      if (entry.path().extension() == ".partial") return true;
    return false;
  }

  // Metrics without what depends on the clock.
  std::vector<Json> metrics(const std::string& name) const {
    std::ifstream in(run(name) / "metrics.jsonl");
    std::vector<Json> lines;
    for (std::string line; std::getline(in, line);) {
      lines.push_back(Json::parse(line));
      for (const std::string& field : kTimingFields) lines.back().erase(field);
    }
    return lines;
  }

  void expect_same_end(const std::string& a, const std::string& b, int64_t steps = kSteps) const {
    const fs::path of_a = CheckpointFolder{run(a) / "checkpoints"}.final_path(steps);
    const fs::path of_b = CheckpointFolder{run(b) / "checkpoints"}.final_path(steps);
    EXPECT_EQ(folder_bytes(of_a), folder_bytes(of_b)) << "checkpoints of step " << steps << " differ";
    EXPECT_EQ(metrics(a), metrics(b));
  }

  TemporaryFolder folder_;
  fs::path shards_;
};

TEST_F(Faults, TwentyKillsLeaveNoTrace) {
  {
    MpiJob job = start("whole");
    ASSERT_EQ(job.wait(), 0) << log("whole");
  }
  std::mt19937 random(11);
  int kills = 0, while_saving = 0;
  std::vector<int64_t> recorded;
  while (kills < 20) {
    const int64_t before = saved("killed");
    const int64_t target =
        before + 1 + static_cast<int64_t>(random() % 3);  // a checkpoint of this attempt, or the next
    ASSERT_LT(target, kSteps - 4) << "the run would end before all kills";
    const bool in_checkpoint = kills % 2 == 0;
    MpiJob job = start("killed");
    const bool running =
        job.wait_until([&] { return saved("killed") >= target && (!in_checkpoint || saving("killed")); });
    ASSERT_TRUE(running) << "the run ended by itself: " << log("killed");
    if (kills % 7 == 3)
      job.kill_rank(kills % 2);
    else
      job.kill_all();
    EXPECT_NE(job.wait(), 0);
    ++kills;
    while_saving += saving("killed");
    recorded.push_back(logged("killed"));
    ASSERT_LT(recorded.back(), kSteps);
  }
  RecordProperty("steps", ::testing::PrintToString(recorded));
  std::cout << "killed after steps " << ::testing::PrintToString(recorded) << ", " << while_saving
            << " of them while a checkpoint was being written\n";
  EXPECT_GE(while_saving, 5);
  MpiJob job = start("killed");
  ASSERT_EQ(job.wait(), 0) << log("killed");
  expect_same_end("whole", "killed");
}

TEST_F(Faults, AUserSignalSavesAndExits75AndTheRunGoesOn) {
  {
    MpiJob job = start("whole", 2, 40);
    ASSERT_EQ(job.wait(), 0) << log("whole");
    MpiJob stopped = start("stopped", 2, 40);
    ASSERT_TRUE(stopped.wait_until([&] { return logged("stopped") >= 7; }));
    stopped.signal(SIGUSR1);
    EXPECT_EQ(stopped.wait(), 75) << log("stopped");
  }
  EXPECT_EQ(saved("stopped"), logged("stopped"));
  EXPECT_GE(saved("stopped"), 7);
  EXPECT_LT(saved("stopped"), 40);
  MpiJob again = start("stopped", 2, 40);
  ASSERT_EQ(again.wait(), 0) << log("stopped");
  expect_same_end("whole", "stopped", 40);
}

TEST_F(Faults, ACheckpointOfTwoRanksGoesOnWithOneAndFour) {
  {
    MpiJob job = start("two", 2, 10);
    ASSERT_EQ(job.wait(), 0) << log("two");
  }
  for (const int ranks : {1, 4}) {
    const std::string name = "ranks" + std::to_string(ranks);
    fs::copy(run("two"), run(name), fs::copy_options::recursive);
    MpiJob job = start(name, ranks, 20);
    ASSERT_EQ(job.wait(), 0) << log(name);
  }
  MpiJob job = start("two", 2, 20);
  ASSERT_EQ(job.wait(), 0) << log("two");
  const std::vector<Json> expected = metrics("two");
  for (const std::string name : {"ranks1", "ranks4"}) {
    const std::vector<Json> lines = metrics(name);
    ASSERT_EQ(lines.size(), expected.size());
    for (size_t i = 0; i < lines.size(); ++i) {
      if (!lines[i].contains("loss")) continue;
      EXPECT_NEAR(lines[i]["loss"].get<double>(), expected[i]["loss"].get<double>(), 1e-4) << name << " line " << i;
    }
  }
}

}  // namespace
}  // namespace synthesizer::testing
