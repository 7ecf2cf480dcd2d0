// Every command of the README, run in order in one shell in a folder that holds what a fresh checkout and build do and
// nothing else, so that a newcomer who types them gets what they say. Only sizes are smaller (kSmaller, kReplaced).
#include "tests/launch/readme.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

// Commands that are not run here, by how they begin, and why. What they name must be there all the same.
struct NotRun {
  std::string begin;
  std::string why;
};
const std::vector<NotRun> kNotRun = {
    {"./launch/quickstart", "installs packages and builds the program into the checkout"},
    {"./launch/test", "installs packages, builds everything and runs this test"},
    {"cmake --preset", "configures and builds a whole build folder"},
    {"cmake --install", "installs from a whole build folder"},
    {"ctest --preset", "runs all tests, this one among them"},
    {"SYNTHESIZER_GOLDEN_DIR=", "runs tests out of the build folder"},
    {"tests/fuzz/run.sh", "takes minutes, and clang"},
    {"SYNTHESIZER_PYTHON=", "measures for an hour, with Python's libraries"},
    {"$synthesizer train my_run.txtpb --set device=CUDA", "needs a GPU"},
    {"$synthesizer bench step --device cuda", "needs a GPU"},
    {"$synthesizer bench kernels --device cuda", "needs a GPU"},
    {"mpirun -n 8 $synthesizer train my_run.txtpb --set device=CUDA", "needs GPUs"},
    {"$synthesizer plan my_run.txtpb --set device=CUDA", "needs a program with CUDA"},
    {"launch/gpu-bundle", "builds for minutes, for GPUs"},
    {"tests/gpu/all", "needs a GPU"},
    {"tests/bench/", "measures for minutes to hours"},
};

// Laid over every configuration that the README shows, which becomes its base.
constexpr const char* kSmaller = R"(
model { max_length: 128 d_model: 16 d_ff: 32 d_head: 2 }
data { input_length: 124 batch: 8 }
steps: 4
eval { every: 4 batches: 1 }
checkpoint { every: 4 }
log { every: 1 }
)";

// Words of the commands, and what stands for them with the sample's text and the sizes above.
struct Replaced {
  std::string word;
  std::string with;
};
const std::vector<Replaced> kReplaced = {
    {"--size 32000", "--size 300"},
    {"step_00524288", "step_00000004"},
    {"--layers 6", "--layers 1 --d-model 32 --d-ff 32 --vocab 256 --source 16 --target 8 --steps 1"},
};

std::string read(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

const std::string& readme() {
  static const std::string text = read(SYNTHESIZER_SOURCE_DIR "/README.md");
  return text;
}

const NotRun* not_run(const std::string& command) {
  for (const NotRun& row : kNotRun)
    if (command.starts_with(row.begin)) return &row;
  return nullptr;
}

// The checkout, without what is made in it, and the program at its place.
void check_out(const fs::path& folder) {
  const fs::path source = SYNTHESIZER_SOURCE_DIR;
  for (const fs::directory_entry& entry : fs::directory_iterator(source)) {
    const std::string name = entry.path().filename();
    if (name != "build" && name != "runs" && !name.starts_with('.'))
      fs::copy(entry.path(), folder / name, fs::copy_options::recursive);
  }
  fs::create_directories(folder / "build/release/bin");
  fs::create_symlink(SYNTHESIZER_PROGRAM, folder / "build/release/bin/synthesizer");
  fs::create_directories(folder / "corpus");
  fs::copy(source / "data/sample/validation-00000-of-00001.json.gz", folder / "corpus/mine.json.gz");
}

// One script: a variable that one command sets is there for the next, and the first that fails ends it.
std::string script(const std::vector<ReadmeStep>& steps, const TemporaryFolder& folder) {
  std::string text = "set -eu\nexport OMP_NUM_THREADS=1\n";
  for (const ReadmeStep& step : steps) {
    if (!step.file.empty()) {
      const std::string base = fmt::format("readme_{}", step.file);
      folder.write(base, step.text);
      folder.write(step.file, fmt::format("base: \"{}\"\n{}", base, kSmaller));
    } else if (not_run(step.text) == nullptr) {
      std::string command = step.text;
      for (const Replaced& row : kReplaced)
        for (size_t at; (at = command.find(row.word)) != std::string::npos;)
          command.replace(at, row.word.size(), row.with);
      text += fmt::format("printf '\\n== README line {}\\n'\n{}\n", step.line, command);
    }
  }
  return text;
}

TEST(Readme, EveryCommandRunsInOrder) {
  const TemporaryFolder folder;
  check_out(folder.path());
  const std::vector<ReadmeStep> steps = readme_steps(readme());
  const std::string file = folder.write("commands.sh", script(steps, folder));
  const std::string log = folder / "commands.log";
  const int status =
      std::system(fmt::format("cd '{}' && bash '{}' </dev/null >'{}' 2>&1", folder.path().string(), file, log).c_str());
  const std::string output = read(log);
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0)
      << output.substr(output.size() - std::min<size_t>(output.size(), 3000));
  const auto ran = std::count_if(steps.begin(), steps.end(), [](const ReadmeStep& step) {
    return step.file.empty() && not_run(step.text) == nullptr;
  });
  EXPECT_GE(ran, 8) << "the way from text to text generated is more than that";
}

TEST(Readme, CommandsInSentencesAreKnown) {
  std::vector<std::string> unknown;
  for (const std::string& command : readme_inline_commands(readme()))
    if (not_run(command) == nullptr) unknown.push_back(command);
  EXPECT_THAT(unknown, IsEmpty()) << "put these into a block, where they are run, or into kNotRun";
}

TEST(Readme, TablesOfThisTestAreNeeded) {
  std::string commands;
  for (const ReadmeStep& step : readme_steps(readme())) commands += "\n" + step.text;
  for (const NotRun& row : kNotRun) EXPECT_THAT(commands, testing::HasSubstr("\n" + row.begin)) << row.why;
  for (const Replaced& row : kReplaced) EXPECT_THAT(commands, testing::HasSubstr(row.word));
}

TEST(Readme, NamesFilesThatAreThere) {
  std::vector<std::string> missing;
  for (const std::string& path : readme_paths(readme()))
    if (!fs::exists(fs::path(SYNTHESIZER_SOURCE_DIR) / path)) missing.push_back(path);
  for (const ReadmeStep& step : readme_steps(readme()))
    if (not_run(step.text) != nullptr) {
      const std::string program = step.text.substr(0, step.text.find(' '));
      if (program.find('=') == std::string::npos && program.find('/') != std::string::npos &&
          !fs::exists(fs::path(SYNTHESIZER_SOURCE_DIR) / program))
        missing.push_back(program);
    }
  EXPECT_THAT(missing, IsEmpty());
}

TEST(Readme, StepsAreTakenFromTheText) {
  const auto steps = readme_steps(
      "# a\n\n    one 'x' \\\n        two\n    # said\n    three\n\nwords\n\n```txtpb a.txtpb\nsteps: "
      "1\n```\n```text\nout\n```\n```sh\nfour\n```\n");
  ASSERT_EQ(steps.size(), 4u);
  EXPECT_EQ(steps[0].text, "one 'x' \\\n    two");
  EXPECT_EQ(steps[0].line, 3);
  EXPECT_EQ(steps[1].text, "three");
  EXPECT_EQ(steps[2].file, "a.txtpb");
  EXPECT_EQ(steps[2].text, "steps: 1\n");
  EXPECT_EQ(steps[3].text, "four");
  EXPECT_EQ(steps[3].line, 17);
  EXPECT_THROW(readme_steps("```\nx\n```\n"), std::runtime_error);
  EXPECT_THAT(readme_inline_commands("say `ctest --preset release` or `mpirun`, `A=B cmake -x`"),
              testing::ElementsAre("ctest --preset release", "A=B cmake -x"));
  EXPECT_THAT(readme_paths("`core/ops/NAME.h` and `core/ops/op.h`, `a/b`"), testing::ElementsAre("core/ops/op.h"));
}

}  // namespace
}  // namespace synthesizer
