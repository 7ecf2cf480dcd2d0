// The program from text to text. Wrong input on the way: tests/launch/wrong.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <tuple>

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

double last_validation_loss(const std::filesystem::path& run) {
  std::ifstream metrics(run / "metrics.jsonl");
  double loss = 0;
  for (std::string line; std::getline(metrics, line);)
    if (const auto json = nlohmann::json::parse(line); json.contains("validation_loss"))
      loss = json.at("validation_loss");
  return loss;
}

// A run on one rank and its like on meshes; then the run on one mesh goes on with others.
TEST(Program, AnyMeshTrainsAlikeAndGoesOnWithAnyOther) {
  const Workplace place;
  const auto train = [&](int ranks, int tensor, const std::string& run, int steps, int zero = 0) {
    const ProgramResult trained = run_ranks(
        ranks,
        {"train", "run.txtpb", "--run", run, "--steps", std::to_string(steps), "--set", "precision=FP64", "--set",
         "parallel.mesh.tensor=" + std::to_string(tensor), "--set", "parallel.zero=" + std::to_string(zero)},
        place.path());
    EXPECT_EQ(trained.exit_code, 0) << trained.err;
    return last_validation_loss(place.path() / run);
  };
  const double four = train(1, 1, "one", 4), eight = train(1, 1, "one", 8);
  EXPECT_NEAR(train(2, 2, "tensor", 4), four, 1e-10);
  EXPECT_NEAR(train(4, 2, "both", 4, 1), four, 1e-10);
  EXPECT_NEAR(train(2, 1, "tensor", 8), eight, 1e-10);
  EXPECT_NEAR(train(2, 1, "both", 8, 1), eight, 1e-10);
}

// reduction: ORDERED, to the byte of what is saved: on other ranks, threads, stages and micro-batches, and where a run
// changes these in its middle.
TEST(Program, OrderedRunsSaveTheSameBytes) {
  const Workplace place;
  const auto train = [&](int ranks, const std::string& run, int steps, const std::vector<std::string>& set) {
    std::vector<std::string> words = {"train",   "run.txtpb",           "--run", run,
                                      "--steps", std::to_string(steps), "--set", "parallel.reduction=ORDERED"};
    for (const std::string& field : set) words.insert(words.end(), {"--set", field});
    const ProgramResult trained = run_ranks(ranks, words, place.path());
    EXPECT_EQ(trained.exit_code, 0) << trained.err;
    const auto files = tree(place.path() / run);
    const std::string folder = "checkpoints/step_0000000" + std::to_string(steps) + "/";
    return files.at(folder + "model.safetensors") + files.at(folder + "optimizer.safetensors");
  };
  const std::string four = train(1, "one", 4, {}), eight = train(1, "one", 8, {});
  EXPECT_TRUE(train(4, "four", 4, {}) == four);
  EXPECT_TRUE(train(1, "parts", 4, {"parallel.microbatches=4"}) == four);
  EXPECT_TRUE(train(2, "stages", 4, {"parallel.zero=1", "parallel.microbatches=2"}) == four);
  EXPECT_TRUE(train(2, "stages", 8, {"parallel.zero=2"}) == eight);
  EXPECT_TRUE(train(2, "four", 8, {"recompute=BLOCK"}) == eight);
}

// parallel.wire: BF16: a run goes on as if nothing had happened, near one whose gradients travel as they are; the
// choice stays that of the run.
TEST(Program, GradientsSentAsBFloat16) {
  const Workplace place;
  const auto train = [&](const std::string& run, int steps, const std::string& wire) {
    return run_ranks(
        2, {"train", "run.txtpb", "--run", run, "--steps", std::to_string(steps), "--set", "parallel.wire=" + wire},
        place.path());
  };
  const auto weights = [&](const std::string& run) {
    return tree(place.path() / run).at("checkpoints/step_00000008/model.safetensors");
  };
  const auto loss = [&](const std::string& run) { return last_validation_loss(place.path() / run); };
  for (const auto& [run, steps, wire] : {std::tuple{"full", 8, "FULL"}, std::tuple{"at_once", 8, "BF16"},
                                         std::tuple{"stopped", 4, "BF16"}, std::tuple{"stopped", 8, "BF16"}}) {
    const ProgramResult trained = train(run, steps, wire);
    ASSERT_EQ(trained.exit_code, 0) << trained.err;
  }
  EXPECT_TRUE(weights("stopped") == weights("at_once"));
  EXPECT_FALSE(weights("full") == weights("at_once"));
  EXPECT_NEAR(loss("at_once"), loss("full"), 1e-3 * loss("full"));
  const ProgramResult other = train("full", 12, "BF16");
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("parallel.wire: got BF16, but the run's checkpoint was written with FULL."));
}

TEST(Program, PlansAMeshThatIsNotThere) {
  const Workplace place;
  const auto plan = [&](const std::string& mesh) {
    return nlohmann::json::parse(place.must({"plan", "run.txtpb", "--mesh", mesh, "--json"}));
  };
  const auto one = plan("data=1"), four = plan("data=2,tensor=2");
  EXPECT_EQ(one.at("bytes").at("buffers"), 0);
  EXPECT_EQ(four.at("bytes").at("buffers"), 3 * ((8 << 20) + 64));  // of all ranks, of two data and of two tensor ranks
  EXPECT_EQ(four.at("ranks"), 4);
  EXPECT_EQ(four.at("parameters"), one.at("parameters"));
  EXPECT_EQ(four.at("rows"), 2);
  EXPECT_LT(four.at("bytes").at("parameters"), one.at("bytes").at("parameters"));
  EXPECT_LT(four.at("bytes").at("step"), one.at("bytes").at("step"));
  EXPECT_TRUE(one.at("collectives").empty());
  EXPECT_EQ(four.at("collectives").size(), 2u);
  EXPECT_LT(four.at("product_flops"), one.at("product_flops").get<int64_t>() / 3);
  EXPECT_THAT(place.must({"plan", "run.txtpb", "--mesh", "data=4"}),
              AllOf(HasSubstr("4 rank(s) of 1 thread(s), 1 of 4 rows a rank"), HasSubstr("all_reduce     data (4)")));
}

// With recompute a run has the same losses, and goes on from the checkpoint of one without.
TEST(Program, RecomputesToTheSameRun) {
  const Workplace place;
  const auto train = [&](const std::string& run, const std::string& steps, const std::string& choice) {
    place.must({"train", "run.txtpb", "--run", run, "--steps", steps, "--set", "recompute=" + choice});
    std::ifstream metrics(place.path() / run / "metrics.jsonl");
    std::vector<double> losses;
    for (std::string line; std::getline(metrics, line);)
      for (const char* key : {"loss", "validation_loss"})
        if (const auto json = nlohmann::json::parse(line); json.contains(key)) losses.push_back(json.at(key));
    return losses;
  };
  const std::vector<double> none = train("none", "8", "NONE");
  EXPECT_GT(none.size(), 4u);
  EXPECT_EQ(train("block", "8", "BLOCK"), none);
  train("mixed", "4", "ATTENTION");
  EXPECT_EQ(train("mixed", "8", "BLOCK").back(), none.back());
}

TEST(Program, PlansWhatRecomputeSaves) {
  const Workplace place;
  const auto plan = [&](const std::string& choice) {
    return nlohmann::json::parse(place.must({"plan", "run.txtpb", "--json", "--set", "recompute=" + choice, "--set",
                                             "model.structure=DECODER", "--set", "model.decoder.attention=FR", "--set",
                                             "data.objective=CAUSAL", "--set", "data.input_length=0"}));
  };
  const auto none = plan("NONE"), attention = plan("ATTENTION"), block = plan("BLOCK");
  EXPECT_EQ(none.at("recomputed_flops"), 0);
  for (const auto& some : {attention, block}) {
    EXPECT_GT(some.at("recomputed_flops"), 0);
    EXPECT_LT(some.at("bytes").at("step"), none.at("bytes").at("step"));
    EXPECT_EQ(some.at("product_flops"), none.at("product_flops"));
    EXPECT_GT(some.at("flops").at("einsum"), none.at("flops").at("einsum"));
  }
  EXPECT_THAT(place.must({"plan", "run.txtpb", "--set", "recompute=BLOCK"}), HasSubstr("done a second time"));
  EXPECT_THAT(place.must({"inspect", "graph", "run.txtpb", "--set", "recompute=BLOCK"}), HasSubstr("/recomputed"));
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
