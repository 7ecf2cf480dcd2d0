// Lines that the program does not understand: exit 2, one line on stderr with the nearest names, nothing on stdout. And
// --help.
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/launch/program.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct Line {
  std::vector<std::string> arguments;
  std::string message;  // after "error: "
};

TEST(CommandLine, WrongLines) {
  const Line lines[] = {
      {{}, "synthesizer: no command, expected one of data, train, plan, eval, generate, inspect"},
      {{"trian"}, "synthesizer: unknown command 'trian'; did you mean train?"},
      {{"--versoin"}, "synthesizer: unknown option '--versoin'; did you mean --version?"},
      {{"data"}, "synthesizer data: no command, expected one of vocab, build, inspect, verify"},
      {{"data", "biuld"}, "synthesizer data: unknown command 'biuld'; did you mean build?"},
      {{"data", "vocab", "--inptu", "a"},
       "synthesizer data vocab: unknown option '--inptu'; did you mean --input, --output?"},
      {{"data", "vocab"}, "synthesizer data vocab: --input is required. See synthesizer data vocab --help"},
      {{"data", "vocab", "--input", "a", "--output", "b", "--size", "many"},
       "synthesizer data vocab: --size: got 'many', expected a whole number. See"},
      {{"data", "verify", "a", "b"}, "synthesizer data verify: The following argument was not expected: b."},
      {{"data", "build", "--input", "a", "--tokenizer", "b", "--output", "c", "--shards", "-1"},
       "synthesizer data build: --shards: got -1, expected at least 0. See"},
      {{"train"}, "synthesizer train: config is required. See synthesizer train --help"},
      {{"train", "a.txtpb", "--step", "3"}, "synthesizer train: unknown option '--step'; did you mean --steps, --set"},
      {{"eval", "a.txtpb", "--chekpoint=3"},
       "synthesizer eval: unknown option '--chekpoint'; did you mean --checkpoint?"},
      {{"generate"}, "synthesizer generate: --checkpoint is required."},
      {{"bench", "com"}, "synthesizer bench: unknown command 'com'; did you mean comm?"},
      {{"inspect", "grpah"}, "synthesizer inspect: unknown command 'grpah'; did you mean graph?"},
  };
  const TemporaryFolder folder;
  for (const auto& [arguments, message] : lines) {
    SCOPED_TRACE(testing::PrintToString(arguments));
    const ProgramResult result = run_program(arguments, folder.path());
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, StartsWith("error: " + message));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(result.out, "");
  }
  EXPECT_TRUE(tree(folder.path()).empty());
}

TEST(CommandLine, HelpOfEveryCommand) {
  const TemporaryFolder folder;
  const std::vector<std::string> commands[] = {
      {"data", "vocab"}, {"data", "build"}, {"data", "inspect"},  {"data", "verify"}, {"train"},
      {"eval"},          {"generate"},      {"inspect", "graph"}, {"plan"},           {"bench", "step"},
      {"bench", "comm"}, {"bench", "data"}, {"bench", "kernels"}};
  for (std::vector<std::string> command : commands) {
    SCOPED_TRACE(testing::PrintToString(command));
    command.push_back("--help");
    const ProgramResult result = run_program(command, folder.path());
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.err, "");
    EXPECT_THAT(result.out, HasSubstr("Usage: synthesizer " + command[0]));
    EXPECT_THAT(result.out, HasSubstr("Example:\n"));
  }
  EXPECT_THAT(run_program({"--version"}, folder.path()).out, StartsWith("synthesizer "));
}

}  // namespace
}  // namespace synthesizer
