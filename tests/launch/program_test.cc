// The program from text to text, and wrong input on the way: exit 2, one line, and the folder is byte for byte as
// before.
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

void flip_byte(const fs::path& file, int64_t from_end) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(-from_end, std::ios::end);
  const char byte = static_cast<char>(stream.get() ^ 1);
  stream.seekp(-from_end, std::ios::end);
  stream.put(byte);
}

struct Wrong {
  std::vector<std::string> arguments;
  std::vector<std::string> words;
  std::string input = "";
};

void expect_refused(const Workplace& place, const std::vector<Wrong>& wrongs) {
  for (const Wrong& wrong : wrongs) {
    SCOPED_TRACE(testing::PrintToString(wrong.arguments));
    const auto before = tree(place.path());
    const ProgramResult result = place.run(wrong.arguments, wrong.input);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    // Progress lines may stand before the one that says what is wrong.
    const size_t error = result.err.find("error: ");
    ASSERT_NE(error, std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin() + static_cast<long>(error), result.err.end(), '\n'), 1) << result.err;
    for (const std::string& word : wrong.words) EXPECT_THAT(result.err, HasSubstr(word));
    EXPECT_TRUE(tree(place.path()) == before) << "the folder has changed";
  }
}

TEST(Program, WrongText) {
  const Workplace place;
  place.folder().write("broken.jsonl", "{\"text\": \"One line that is right.\"}\n{\"text\": \"broken\n");
  place.folder().write("fieldless.jsonl", "{\"body\": \"no text\"}\n");
  place.folder().write("latin.txt", "caf\xe9\n");
  place.folder().write("empty.jsonl", "");
  place.folder().write("not.model", "not a model");
  const auto build = [](const std::string& input, const std::string& tokenizer, const std::string& output) {
    return std::vector<std::string>{"data", "build", "--input", input, "--tokenizer", tokenizer, "--output", output};
  };
  expect_refused(place, {
                            {build("missing-*.json.gz", "spiece.model", "out"), {"missing-*.json.gz"}},
                            {build("broken.jsonl", "spiece.model", "out"), {"broken.jsonl", "line 2"}},
                            {build("fieldless.jsonl", "spiece.model", "out"), {"fieldless.jsonl", "text"}},
                            {build("latin.txt", "spiece.model", "out"), {"latin.txt", "UTF-8"}},
                            {build("empty.jsonl", "spiece.model", "out"), {"empty corpus"}},
                            {build("run.txtpb", "spiece.model", "out"), {"run.txtpb"}},
                            {build("broken.jsonl", "missing.model", "out"), {"missing.model"}},
                            {build("broken.jsonl", "not.model", "out"), {"not.model"}},
                            {build("broken.jsonl", "spiece.model", "shards"), {"shards"}},
                            {{"data", "vocab", "--input", "empty.jsonl", "--output", "new.model"}, {"empty corpus"}},
                            {{"data", "verify", "nothing"}, {"nothing"}},
                            {{"data", "inspect", "nothing"}, {"nothing"}},
                        });
  flip_byte(place.path() / "shards/part-00000.h5", 2000);
  expect_refused(place, {{{"data", "verify", "shards"}, {"part-00000.h5"}}});
}

TEST(Program, WrongConfigurations) {
  const Workplace place;
  const auto train = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"train", "run.txtpb"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  fs::create_directory(place.path() / "other");
  place.folder().write("other/notes.txt", "not a run");
  place.must({"data", "vocab", "--input", SYNTHESIZER_SOURCE_DIR "/data/sample/validation-00000-of-00001.json.gz",
              "--size", "310", "--output", "other.model"});
  place.must({"data", "build", "--input", SYNTHESIZER_SOURCE_DIR "/data/sample/validation-00000-of-00001.json.gz",
              "--tokenizer", "other.model", "--output", "other_shards"});
  expect_refused(place, {
                            {{"train", "rn.txtpb"}, {"rn.txtpb", "no such configuration file", "run.txtpb"}},
                            {train({"--set", "model.d_modle=3"}), {"d_modle", "d_model"}},
                            {train({"--set", "model.encoder.attention=RR"}), {"RR", "R, FR"}},
                            {train({"--set", "model.encoder.attention=DynConv+V"}), {"DynConv stands alone"}},
                            {train({"--set", "data.input_length=64"}), {"data.input_length", "64", "40"}},
                            {train({"--set", "dropout=2"}), {"dropout", "got 2"}},
                            {train({"--set", "data.shards=nowhere"}), {"data.shards", "nowhere"}},
                            {train({"--set", "data.validation=other_shards"}), {"other_shards", "tokenizer"}},
                            {train({"--set", "model.vocab_size=100"}), {"model.vocab_size", "got 100"}},
                            {train({"--set", "parallel.mesh.data=2"}), {"parallel.mesh", "2 rank(s), got 1"}},
                            {train({"--set", "precision=BF16"}), {"precision", "not in this version"}},
                            {train({"--steps", "0"}), {"steps", "got 0"}},
                            {train({"--set", "freeze=encoder.layer"}), {"encoder.layer"}},
                            {train({"--run", "other"}), {"other", "notes.txt"}},
                            {train({"--init-from", "nowhere"}), {"nowhere"}},
                            {{"eval", "run.txtpb"}, {"runs/run/checkpoints", "no checkpoint"}},
                            {{"generate", "--checkpoint", "nowhere"}, {"nowhere"}},
                        });
}

// There are no labelled examples yet for it to learn from or be judged by.
TEST(Program, ClassifierWithoutLabels) {
  const Workplace place;
  std::vector<Wrong> wrongs;
  for (const char* command : {"train", "eval"})
    wrongs.push_back(
        {{command, "run.txtpb", "--set", "model.structure=ENCODER_CLASSIFIER", "--set", "model.num_classes=3"},
         {"data.objective", "ENCODER_CLASSIFIER", "labelled"}});
  wrongs.push_back(
      {{"data", "inspect", "shards", "--config", SYNTHESIZER_SOURCE_DIR "/configs/models/classify_v.txtpb"},
       {"data.objective", "labelled"}});
  expect_refused(place, wrongs);
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
              AllOf(HasSubstr("classifier.weight"), HasSubstr("[batch 2, classes 4]"), HasSubstr("fr.rows"),
                    Not(HasSubstr("decoder"))));

  // The same command again: nothing is left to do. More steps: the run goes on. Another seed: another run.
  EXPECT_EQ(place.must({"train", "run.txtpb"}), "");
  place.must({"train", "run.txtpb", "--steps", "6"});
  EXPECT_EQ(last_line(place.must({"eval", "run.txtpb", "--json"})).at("step"), 6);
  expect_refused(place,
                 {
                     {{"train", "run.txtpb", "--set", "seed=2"}, {"seed: got 2", "written with 1"}},
                     {{"train", "run.txtpb", "--set", "model.d_ff=64"}, {"model.d_ff: got 64", "written with 32"}},
                     {{"generate", "--checkpoint", checkpoint}, {"extra_id_900"}, "a <extra_id_900> b\n"},
                     {{"generate", "--checkpoint", checkpoint}, {"line 1", "UTF-8"}, "caf\xe9\n"},
                     {{"generate", "--checkpoint", checkpoint, "--max-length", "41"}, {"--max-length", "40"}},
                     {{"generate", "--checkpoint", checkpoint, "--beam", "4"}, {"--beam", "not in this version"}},
                 });
  flip_byte(place.path() / checkpoint / "model.safetensors", 40);
  expect_refused(place, {{{"eval", "run.txtpb", "--checkpoint", checkpoint}, {"model.safetensors"}}});
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
