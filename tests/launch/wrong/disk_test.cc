// Disks that are full or read-only: the message says what to free, what was good stays good, and the same command goes
// on once there is room.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/checkpoint/folder.h"
#include "tests/launch/wrong/wrong.h"
#include "tests/support/temporary_disk.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t kMegabyte = 1'000'000;

// A workplace on a disk of its own: runs and shards can be made there.
struct DiskPlace {
  Workplace place;
  TemporaryDisk disk;
  DiskPlace() : disk((fs::create_directory(place.path() / "disk"), place.path() / "disk"), 64 * kMegabyte) {}

  void expect_full(const std::string& arguments, int exit_code = 1) const {
    const ProgramResult result = place.run(words_of(arguments));
    EXPECT_EQ(result.exit_code, exit_code);
    EXPECT_THAT(error_line(result),
                AllOf(HasSubstr("disk/"), HasSubstr("No space left on device. The disk is full: free space there ("),
                      HasSubstr("and run the same command again")));
  }
};

TEST(FullDisk, WhileBuilding) {
  const DiskPlace at;
  const std::string build = "data build --input text.json.gz --tokenizer spiece.model --shards 3 --output disk/shards";
  // A shard of this text takes 2.1 MB: none finds room, then one of the three.
  for (const int64_t room : {int64_t{1}, int64_t{3}}) {
    at.disk.leave(room * kMegabyte);
    at.expect_full(build);
    EXPECT_FALSE(fs::exists(at.disk.path() / "shards/manifest.json"));
    fs::remove(at.disk.path() / "ballast");
  }
  EXPECT_THAT(at.place.must(words_of(build)), HasSubstr("1 shard(s) were there from an earlier start"));
  at.place.must(words_of("data verify disk/shards"));
  EXPECT_FALSE(fs::exists(at.disk.path() / "shards/.build"));

  // The bytes are those of a build that always had room.
  at.place.must(words_of("data build --input text.json.gz --tokenizer spiece.model --shards 3 --output whole"));
  EXPECT_TRUE(tree(at.disk.path() / "shards") == tree(at.place.path() / "whole"));
}

TEST(FullDisk, WhileMakingAVocabulary) {
  const DiskPlace at;
  at.disk.leave(0);
  at.expect_full("data vocab --input text.json.gz --size 300 --output disk/new.model");
  fs::remove(at.disk.path() / "ballast");
  at.place.must(words_of("data vocab --input text.json.gz --size 300 --output disk/new.model"));
}

// A checkpoint of the tiny model takes about 0.3 MB.
std::string train(int steps, const std::string& more = "") {
  return fmt::format("train run.txtpb --run disk/run --set checkpoint.every=2 --steps {} {}", steps, more);
}

std::vector<int64_t> checkpoints(const DiskPlace& at) {
  std::vector<int64_t> steps;
  for (const auto& [step, path] : CheckpointFolder{at.disk.path() / "run/checkpoints"}.list()) steps.push_back(step);
  return steps;
}

TEST(FullDisk, WhileSaving) {
  const DiskPlace at;
  at.place.must(words_of(train(2)));
  at.disk.leave(200'000);
  at.expect_full(train(6));
  EXPECT_EQ(checkpoints(at), (std::vector<int64_t>{2}));
  at.place.must(words_of("eval run.txtpb --checkpoint disk/run/checkpoints/step_00000002"));
  at.disk.resize(128 * kMegabyte);
  at.place.must(words_of(train(6)));
  EXPECT_EQ(checkpoints(at), (std::vector<int64_t>{4, 6}));

  // As if the disk had never been full.
  at.place.must(words_of("train run.txtpb --run straight --set checkpoint.every=2 --steps 6"));
  const auto saved = tree(at.disk.path() / "run/checkpoints/step_00000006");
  const auto straight = tree(at.place.path() / "straight/checkpoints/step_00000006");
  EXPECT_TRUE(saved.at("model.safetensors") == straight.at("model.safetensors"));
  EXPECT_TRUE(saved.at("optimizer.safetensors") == straight.at("optimizer.safetensors"));
}

TEST(FullDisk, WhileLogging) {
  const DiskPlace at;
  at.place.must(words_of(train(2)));
  at.disk.leave(12'288);  // three pages, for the metrics of some hundred steps
  at.expect_full(train(4000, "--set checkpoint.every=0 --set eval.every=0"));
  EXPECT_EQ(checkpoints(at), (std::vector<int64_t>{2}));
  fs::remove(at.disk.path() / "ballast");
  at.place.must(words_of(train(4, "--set checkpoint.every=0")));
  EXPECT_EQ(checkpoints(at), (std::vector<int64_t>{2, 4}));
  // Each step once, in order, though the last line had been torn.
  std::ifstream in(at.disk.path() / "run/metrics.jsonl");
  std::vector<int64_t> steps;
  for (std::string line; std::getline(in, line);)
    if (const auto json = nlohmann::json::parse(line); json.contains("loss")) steps.push_back(json.at("step"));
  EXPECT_EQ(steps, (std::vector<int64_t>{1, 2, 3, 4}));
}

TEST(FullDisk, BeforeARunBegins) {
  const DiskPlace at;
  at.disk.leave(0);
  at.expect_full(train(2));
  fs::remove(at.disk.path() / "ballast");
  at.place.must(words_of(train(2)));
}

TEST(ReadOnlyDisk, IsRefusedBeforeAnythingStarts) {
  const DiskPlace at;
  at.place.must(words_of(train(2)));
  at.place.must(words_of("data build --input text.json.gz --tokenizer spiece.model --output disk/shards"));
  at.disk.set_read_only();
  const struct {
    std::string arguments;
    std::vector<std::string> words;
  } table[] = {
      {"data vocab --input text.json.gz --size 300 --output disk/new.model", {"--output disk"}},
      {"data build --input text.json.gz --tokenizer spiece.model --output disk/new", {"--output disk/new"}},
      {"train run.txtpb --run disk/new", {"--run disk/new"}},
      {train(4), {"--run disk/run"}},
  };
  const auto before = tree(at.place.path());
  for (const auto& [arguments, words] : table) {
    SCOPED_TRACE(arguments);
    const ProgramResult result = at.place.run(words_of(arguments));
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(error_line(result), HasSubstr("nothing can be written"));
    EXPECT_THAT(error_line(result), HasSubstr("Read-only file system"));
    for (const std::string& word : words) EXPECT_THAT(error_line(result), HasSubstr(word));
    EXPECT_TRUE(tree(at.place.path()) == before);
  }
  // Reading is all that these need.
  at.place.must(words_of("data verify disk/shards"));
  at.place.must(
      words_of("eval run.txtpb --checkpoint disk/run/checkpoints/step_00000002 --set data.shards=disk/shards"));
}

}  // namespace
}  // namespace synthesizer
