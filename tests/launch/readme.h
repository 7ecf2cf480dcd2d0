// The README's commands and files, taken from its text. A block of indented or fenced `sh` lines is commands; a fenced
// block whose first line names a file after its language (```txtpb my_run.txtpb) is that file; `text` is shown output.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace synthesizer {

struct ReadmeStep {
  int line = 0;      // in the README, from 1
  std::string file;  // the name of the file that `text` is; empty for a command
  std::string text;  // a command with its continued lines, comments and all
};

// In the README's order. Throws std::runtime_error for a fenced block of a kind that is not known.
std::vector<ReadmeStep> readme_steps(std::string_view markdown);

// Commands inside sentences: `ctest --preset release` between backticks, with arguments.
std::vector<std::string> readme_inline_commands(std::string_view markdown);

// Paths of the repository inside sentences: `core/attention/table.cc`, `tests/bench/`.
std::vector<std::string> readme_paths(std::string_view markdown);

}  // namespace synthesizer
