// The program from text to text. Wrong input on the way: tests/launch/wrong.
#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/launch/workplace.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// The last line of `text`, parsed.
nlohmann::json last_line(const std::string& text) {
  const size_t end = text.find_last_not_of('\n') + 1;
  const size_t begin = text.rfind('\n', end - 1);
  return nlohmann::json::parse(text.substr(begin == std::string::npos ? 0 : begin + 1, end));
}

TEST(Program, FromShardsToText) {
  const Workplace place;
  EXPECT_EQ(last_line(place.must({"data", "verify", "shards", "--json"})).at("documents"), 115);
  EXPECT_THAT(place.must({"data", "inspect", "shards", "--examples", "1", "--config", "run.txtpb"}),
              AllOf(HasSubstr("fletcher32"), HasSubstr("<extra_id_0>")));

  EXPECT_EQ(place.must({"train", "run.txtpb"}), "runs/run\n");
  const fs::path run = place.path() / "runs/run";
  const std::string checkpoint = "runs/run/checkpoints/step_00000004";
  for (const char* name : {"config.txtpb", "metrics.jsonl", "checkpoints/step_00000004/model.safetensors",
                           "checkpoints/step_00000004/state.json"})
    EXPECT_TRUE(fs::exists(run / name)) << name;

  const nlohmann::json result = last_line(place.must({"eval", "run.txtpb", "--json"}));
  EXPECT_EQ(result.at("step"), 4);
  EXPECT_EQ(result.at("checkpoint"), checkpoint);
  EXPECT_GT(result.at("validation_loss").get<double>(), 0);
  const nlohmann::json trained = last_line(tree(run).at("metrics.jsonl"));
  EXPECT_NEAR(result.at("validation_loss").get<double>(), trained.at("validation_loss").get<double>(), 1e-7);

  const nlohmann::json line =
      last_line(place.must({"generate", "--checkpoint", checkpoint, "--max-length", "8", "--json"},
                           "He opened the <extra_id_0> and went in.\n"));
  EXPECT_THAT(line.at("filled").get<std::string>(), testing::StartsWith("He opened the ["));
  EXPECT_THAT(place.must({"inspect", "graph", "run.txtpb", "--ranks", "2"}),
              AllOf(HasSubstr("split(batch)"), HasSubstr("all_reduce")));
  EXPECT_THAT(place.must({"inspect", "graph", "run.txtpb", "--dot"}), testing::StartsWith("digraph"));
  EXPECT_THAT(place.must({"inspect", "graph", SYNTHESIZER_SOURCE_DIR "/configs/models/classify_fr.txtpb", "--set",
                          "model.vocab_size=512", "--set", "data.batch=4", "--ranks", "2"}),
              AllOf(HasSubstr("classifier.weight"), HasSubstr("[model 513, classes 4]"), HasSubstr("fr.rows"),
                    Not(HasSubstr("decoder"))));

  // The same command again: nothing is left to do. More steps: the run goes on.
  EXPECT_EQ(place.must({"train", "run.txtpb"}), "");
  place.must({"train", "run.txtpb", "--steps", "6"});
  EXPECT_EQ(last_line(place.must({"eval", "run.txtpb", "--json"})).at("step"), 6);
}

TEST(Program, TwoRanksEndAsOne) {
  const Workplace place;
  const ProgramResult trained = run_ranks(2, {"train", "run.txtpb"}, place.path());
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_EQ(last_line(place.must({"eval", "run.txtpb", "--json"})).at("step"), 4);

  // What all ranks see is said once; what one of three ranks meets ends all of them.
  const ProgramResult refused = run_ranks(2, {"train", "run.txtpb", "--set", "seed=2"}, place.path());
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1) << refused.err;
  const ProgramResult mesh = run_ranks(3, {"train", "run.txtpb", "--run", "three"}, place.path());
  EXPECT_EQ(mesh.exit_code, 2);
  EXPECT_THAT(mesh.err, HasSubstr("data.batch: got 4, expected a multiple of parallel.mesh.data 3"));
  EXPECT_FALSE(fs::exists(place.path() / "three"));
}

TEST(Program, ShowsTheEffectiveConfiguration) {
  const Workplace place;
  const std::string text = place.must({"train", "run.txtpb", "--show", "--set", "seed=9", "--steps", "77"});
  EXPECT_THAT(text,
              AllOf(HasSubstr("seed: 9\n"), HasSubstr("steps: 77\n"), HasSubstr("layout: \"batch:data heads:tensor")));
  place.folder().write("again.txtpb", text);
  EXPECT_EQ(place.must({"train", "again.txtpb", "--show"}), text);
}

}  // namespace
}  // namespace synthesizer
