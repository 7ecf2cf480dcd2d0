// Ranks that were started with different commands, configurations or programs: all end at once with exit 2 and one line
// that names the rank; and what two ranks meet while they train.
#include <gmock/gmock.h>

#include <fstream>

#include "tests/launch/wrong/wrong.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

struct Ranks {
  std::vector<std::string> lines;  // one a rank, as typed
  std::vector<std::string> words;
  std::string last_program = "";  // of the last rank
};

TEST(WrongRanks, AllEndTogether) {
  const Workplace place;
  place.folder().write("other/run.txtpb", "base: \"../run.txtpb\" dropout: 0.2");
  // The same program, but another build: a byte more, which nothing runs.
  const fs::path other = place.path() / "synthesizer";
  fs::copy_file(SYNTHESIZER_PROGRAM, other);
  std::ofstream(other, std::ios::binary | std::ios::app) << '\n';
  const std::string train = "train run.txtpb";
  const Ranks table[] = {
      {{train, train + " --set seed=2"}, {"seed: got 2, but rank 0 was started with 1", "[rank 1/2]"}},
      {{train, train, "train other/run.txtpb --run runs/run"},
       {"dropout: got 0.2, but rank 0 was started with 0.1", "[rank 2/3]"}},
      {{train, train + " --run elsewhere"},
       {"--run: got elsewhere, but rank 0 was started with runs/run", "[rank 1/2]"}},
      {{train, train + " --steps 8"}, {"steps: got 8, but rank 0 was started with 4", "[rank 1/2]"}},
      {{train + " --profile 2", train + " --profile 1"},
       {"--profile: got 1, but rank 0 was started with 2", "[rank 1/2]"}},
      {{train, "eval run.txtpb"}, {"command: got eval, but rank 0 was started with train", "[rank 1/2]"}},
      {{train, "train missing.txtpb"}, {"missing.txtpb: no such configuration file", "[rank 1/2]"}},
      {{train, "trian run.txtpb"}, {"unknown command 'trian'; did you mean train?", "[rank 1/2]"}},
      {{train, train}, {"program: got version", "but rank 0 was started with version", "[rank 1/2]"}, other.string()},
      {{"data build --input text.json.gz --tokenizer spiece.model --output out",
        "data build --input text.json.gz --tokenizer spiece.model --output out --compress"},
       {"--compress: got given, but rank 0 was started with not given", "[rank 1/2]"}},
  };
  const auto before = tree(place.path());
  for (const Ranks& row : table) {
    SCOPED_TRACE(testing::PrintToString(row.lines));
    std::vector<std::vector<std::string>> ranks;
    for (const std::string& line : row.lines) {
      ranks.push_back(words_of(line));
      ranks.back().insert(ranks.back().begin(), "");
    }
    ranks.back().front() = row.last_program;
    const ProgramResult result = run_each(ranks, place.path());
    EXPECT_EQ(result.exit_code, 2) << result.err;
    for (const std::string& word : row.words) EXPECT_THAT(error_line(result), HasSubstr(word));
    EXPECT_TRUE(tree(place.path()) == before) << "the folder has changed";
  }
}

TEST(WrongRanks, NaNIsNamedWithItsRank) {
  const Workplace place;
  const std::vector<std::string> diverging = words_of(
      "train run.txtpb --steps 300 --set schedule.learning_rate=1e30 --set checkpoint.every=1 --set eval.every=0");
  const ProgramResult stopped = run_ranks(2, diverging, place.path());
  EXPECT_EQ(stopped.exit_code, 1) << stopped.err;
  EXPECT_THAT(error_line(stopped),
              AllOf(HasSubstr("[train] step 2: encoder."), HasSubstr("on rank 0/2, the first tensor"),
                    HasSubstr("--init-from runs/run/checkpoints/step_00000001")));
  place.must(words_of("eval run.txtpb --checkpoint runs/run/checkpoints/step_00000001"));

  std::vector<std::string> skipping = diverging;
  for (const char* word : {"--set", "on_nonfinite=SKIP", "--run", "skipping"}) skipping.emplace_back(word);
  const ProgramResult skipped = run_ranks(2, skipping, place.path());
  EXPECT_EQ(skipped.exit_code, 1) << skipped.err;
  EXPECT_THAT(error_line(skipped), AllOf(HasSubstr("step 101: "), HasSubstr("100 updates in a row were left out")));
  EXPECT_THAT(skipped.err, HasSubstr("warning: step 2: "));
}

}  // namespace
}  // namespace synthesizer
