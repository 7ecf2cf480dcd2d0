// What a reader of the source relies on: files of a size to be read, one formatting, includes that only go down.
// Checks all C++ files of the source tree; generated ones lie in the build folder.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace synthesizer {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

constexpr int kMostLines = 500;
const std::vector<std::string> kFolders = {"core", "data", "dist", "launch", "tests"};

const fs::path& root() {
  static const fs::path path = SYNTHESIZER_SOURCE_DIR;
  return path;
}

// C++ files below the folders of the source, relative to the root.
std::vector<fs::path> sources() {
  static const std::set<std::string> extensions = {".h", ".cc", ".cu", ".cuh"};
  std::vector<fs::path> files;
  for (const std::string& folder : kFolders)
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root() / folder))
      if (entry.is_regular_file() && extensions.count(entry.path().extension().string()) != 0)
        files.push_back(entry.path().lexically_relative(root()));
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> lines(const fs::path& file) {
  std::ifstream in(root() / file);
  std::vector<std::string> all;
  for (std::string line; std::getline(in, line);) all.push_back(line);
  return all;
}

// The layer that a file belongs to: "core/ops", "data", "dist", "dist/nccl", "tests".
std::string layer(const fs::path& file) {
  auto part = file.begin();
  const std::string first = (part++)->string();
  return first == "core" || (first == "dist" && *part == "nccl") ? first + "/" + part->string() : first;
}

// What each layer may include, besides itself. Lower never includes higher.
const std::map<std::string, std::set<std::string>>& allowed() {
  static const auto map = [] {
    std::map<std::string, std::set<std::string>> below;
    const auto add = [&](const std::string& name, const std::vector<std::string>& direct) {
      for (const std::string& other : direct) {
        below[name].insert(other);
        below[name].insert(below[other].begin(), below[other].end());
      }
      below[name].insert(name);
    };
    add("core/base", {});
    add("core/tensor", {"core/base"});
    add("core/graph", {"core/tensor"});
    add("core/checkpoint", {"core/graph"});
    add("core/report", {"core/base"});
    add("core/ops", {"core/graph"});
    add("core/kernels", {"core/ops"});
    add("core/attention", {"core/ops"});
    add("core/model", {"core/attention"});
    add("core/optim", {"core/ops"});
    add("core/train", {"core/model", "core/optim", "core/checkpoint", "core/report"});
    add("dist", {"core/model", "core/optim", "core/train"});
    add("dist/nccl", {"dist", "core/kernels"});
    add("configs", {});
    add("data", {"core/tensor"});
    add("launch", {"core/train", "core/kernels", "dist", "dist/nccl", "data", "configs"});
    return below;
  }();
  return map;
}

TEST(House, FilesAreOfASizeToBeRead) {
  std::vector<std::string> large;
  for (const fs::path& file : sources())
    if (const size_t count = lines(file).size(); count > kMostLines)
      large.push_back(fmt::format("{}: {} lines", file.string(), count));
  EXPECT_THAT(large, IsEmpty()) << "a source has at most " << kMostLines << " lines";
}

TEST(House, FilesSayWhatTheyAre) {
  std::vector<std::string> silent;
  for (const fs::path& file : sources()) {
    const std::vector<std::string> text = lines(file);
    // A .cc file may leave it to the header of its own name; a test is told by the source it mirrors.
    if (layer(file) == "tests") continue;
    const bool header_tells = file.extension() != ".h" && fs::exists((root() / file).replace_extension(".h"));
    if (!header_tells && (text.empty() || !text[0].starts_with("//"))) silent.push_back(file.string());
  }
  EXPECT_THAT(silent, IsEmpty()) << "a source begins with a comment that says what it is";
}

TEST(House, HeadersAreIncludedOnce) {
  std::vector<std::string> missing;
  for (const fs::path& file : sources())
    if (file.extension() == ".h")
      if (const std::vector<std::string> text = lines(file);
          std::find(text.begin(), text.end(), "#pragma once") == text.end())
        missing.push_back(file.string());
  EXPECT_THAT(missing, IsEmpty()) << "a header has #pragma once";
}

TEST(House, IncludesOnlyGoDown) {
  static const std::regex include("^\\s*#\\s*include\\s*\"([^\"]+)\"");
  std::vector<std::string> wrong;
  for (const fs::path& file : sources()) {
    const std::string from = layer(file);
    if (from == "tests") continue;
    const auto below = allowed().find(from);
    if (below == allowed().end()) {
      wrong.push_back(fmt::format("{}: the layer {} is not in the table", file.string(), from));
      continue;
    }
    for (const std::string& line : lines(file)) {
      std::smatch match;
      if (!std::regex_search(line, match, include)) continue;
      const fs::path included = match[1].str();
      if (std::distance(included.begin(), included.end()) < 2)
        wrong.push_back(
            fmt::format("{}: includes \"{}\", expected the path from the root", file.string(), included.string()));
      else if (below->second.count(layer(included)) == 0)
        wrong.push_back(fmt::format("{}: {} may not include {}", file.string(), from, included.string()));
    }
  }
  EXPECT_THAT(wrong, IsEmpty());
}

TEST(House, NoStateOfItsOwn) {
  static const std::regex state("\\bthread_local\\b|\\bmt19937\\b|\\bstd::rand\\b|\\bexit\\(");
  std::vector<std::string> found;
  for (const fs::path& file : sources()) {
    const std::string from = layer(file);
    if (from == "tests" || from == "launch") continue;
    int number = 0;
    for (const std::string& line : lines(file)) {
      ++number;
      const std::string code = line.substr(0, line.find("//"));
      if (std::regex_search(code, state)) found.push_back(fmt::format("{}:{}: {}", file.string(), number, line));
    }
  }
  EXPECT_THAT(found, IsEmpty()) << "libraries have no thread-local state, no generator but Philox, and never exit";
}

TEST(House, FormattedByClangFormat) {
  std::string command =
      fmt::format("cd '{}' && '{}' --dry-run -Werror --style=file", SYNTHESIZER_SOURCE_DIR, SYNTHESIZER_CLANG_FORMAT);
  for (const fs::path& file : sources()) command += " '" + file.string() + "'";
  command += " 2>&1";
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::array<char, 4096> buffer;
  for (size_t count; (count = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) output.append(buffer.data(), count);
  EXPECT_EQ(pclose(pipe), 0) << "run clang-format -i on these:\n" << output.substr(0, 4000);
}

}  // namespace
}  // namespace synthesizer
