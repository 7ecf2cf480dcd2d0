#include "tests/launch/readme.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <stdexcept>

namespace synthesizer {
namespace {

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

bool blank(const std::string& line) { return line.find_first_not_of(' ') == std::string::npos; }

// One command a line, or several lines that end in a backslash.
void add_commands(const std::vector<std::string>& block, int first_line, std::vector<ReadmeStep>& steps) {
  bool continued = false;
  for (size_t i = 0; i < block.size(); ++i) {
    const bool goes_on = block[i].ends_with('\\');
    if (continued)
      steps.back().text += "\n" + block[i];
    else if (!blank(block[i]) && !block[i].starts_with('#'))
      steps.push_back({first_line + static_cast<int>(i), "", block[i]});
    continued = goes_on;
  }
}

void add_fenced(const std::string& head, const std::vector<std::string>& block, int first_line,
                std::vector<ReadmeStep>& steps) {
  const size_t space = head.find(' ');
  const std::string language = head.substr(0, space);
  if (space != std::string::npos) {
    std::string text;
    for (const std::string& line : block) text += line + "\n";
    steps.push_back({first_line, head.substr(space + 1), text});
  } else if (language == "sh") {
    add_commands(block, first_line, steps);
  } else if (language != "text") {
    throw std::runtime_error(fmt::format(
        "README line {}: a block of '{}', expected sh, text, or a language and the file's name", first_line - 1, head));
  }
}

// What stands between single backticks outside of blocks.
std::vector<std::string> inline_code(std::string_view markdown) {
  static const std::regex code("`([^`\n]+)`");
  std::vector<std::string> found;
  bool fenced = false;
  for (const std::string& line : lines_of(markdown)) {
    if (line.starts_with("```")) fenced = !fenced;
    if (fenced || line.starts_with("    ") || line.starts_with("```")) continue;
    for (auto at = std::sregex_iterator(line.begin(), line.end(), code); at != std::sregex_iterator(); ++at)
      found.push_back((*at)[1].str());
  }
  return found;
}

}  // namespace

std::vector<ReadmeStep> readme_steps(std::string_view markdown) {
  std::vector<ReadmeStep> steps;
  const std::vector<std::string> lines = lines_of(markdown);
  for (size_t i = 0; i < lines.size(); ++i) {
    std::vector<std::string> block;
    const size_t first = i;
    if (lines[i].starts_with("```")) {
      while (++i < lines.size() && !lines[i].starts_with("```")) block.push_back(lines[i]);
      add_fenced(lines[first].substr(3), block, static_cast<int>(first) + 2, steps);
    } else if (lines[i].starts_with("    ") && (i == 0 || blank(lines[i - 1]))) {
      for (; i < lines.size() && lines[i].starts_with("    "); ++i) block.push_back(lines[i].substr(4));
      --i;
      add_commands(block, static_cast<int>(first) + 1, steps);
    }
  }
  return steps;
}

std::vector<std::string> readme_inline_commands(std::string_view markdown) {
  static const std::regex command(
      R"(([A-Z_]+=\S+ )*(\$?synthesizer|\./\S+|launch/\S+|tests/\S+\.sh|ctest|cmake|mpirun|srun) .*)");
  std::vector<std::string> found;
  for (const std::string& code : inline_code(markdown))
    if (std::regex_match(code, command)) found.push_back(code);
  return found;
}

std::vector<std::string> readme_paths(std::string_view markdown) {
  static const std::regex path("(core|data|dist|launch|configs|tests|docs|cmake)/[a-z0-9_./-]*");
  std::vector<std::string> found;
  for (const std::string& code : inline_code(markdown))
    if (std::regex_match(code, path)) found.push_back(code);
  return found;
}

}  // namespace synthesizer
