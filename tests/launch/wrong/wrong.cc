#include "tests/launch/wrong/wrong.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace synthesizer {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("no file " + file.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

void overwrite(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

}  // namespace

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words(1);
  bool quoted = false, any = false;
  for (const char c : line) {
    if (c == '\'') {
      quoted = !quoted;
      any = true;
    } else if (c == ' ' && !quoted) {
      if (any) words.emplace_back();
      any = false;
    } else {
      words.back() += c;
      any = true;
    }
  }
  if (!any) words.pop_back();
  return words;
}

void copy_place(const fs::path& from, const fs::path& to) {
  fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
}

std::string error_line(const ProgramResult& result) {
  // Lines of progress may stand before it.
  const size_t error = result.err.find("error: ");
  if (error == std::string::npos) {
    ADD_FAILURE() << "no error, but: " << result.err;
    return "";
  }
  const std::string line = result.err.substr(error);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << result.err;
  EXPECT_TRUE(error == 0 || result.err[error - 1] == '\n') << result.err;
  return line;
}

void expect_refused(const fs::path& place, std::span<const Wrong> table) {
  for (const Wrong& row : table) {
    SCOPED_TRACE("synthesizer " + row.arguments);
    const TemporaryFolder folder;
    copy_place(place, folder.path());
    for (const Preparation& prepare : row.before) prepare(folder.path());
    const auto before = tree(folder.path());
    const ProgramResult result = row.as_user ? run_as_user(words_of(row.arguments), folder.path())
                                             : run_program(words_of(row.arguments), folder.path(), row.input);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_EQ(result.out, "");
    const std::string line = error_line(result);
    for (const std::string& word : row.words) EXPECT_THAT(line, HasSubstr(word));
    EXPECT_TRUE(tree(folder.path()) == before) << "the folder has changed";
  }
}

Preparation write(const std::string& file, const std::string& text) {
  return [=](const fs::path& place) { overwrite(place / file, text); };
}

Preparation make_folder(const std::string& folder) {
  return [=](const fs::path& place) { fs::create_directories(place / folder); };
}

Preparation remove(const std::string& path) {
  return [=](const fs::path& place) {
    if (fs::remove_all(place / path) == 0) throw std::runtime_error("nothing to remove: " + path);
  };
}

Preparation copy(const std::string& from, const std::string& to) {
  return [=](const fs::path& place) {
    fs::create_directories((place / to).parent_path());
    fs::copy(place / from, place / to, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  };
}

Preparation link(const std::string& target, const std::string& link) {
  return [=](const fs::path& place) { fs::create_symlink(target, place / link); };
}

Preparation cut(const std::string& file, int64_t bytes) {
  return [=](const fs::path& place) {
    const auto size = static_cast<int64_t>(fs::file_size(place / file));
    fs::resize_file(place / file, static_cast<uintmax_t>(bytes < 0 ? size + bytes : bytes));
  };
}

Preparation flip(const std::string& file, int64_t at) {
  return [=](const fs::path& place) {
    std::string text = read(place / file);
    char& byte = text.at(static_cast<size_t>(at < 0 ? static_cast<int64_t>(text.size()) + at : at));
    byte = static_cast<char>(byte ^ 1);
    overwrite(place / file, text);
  };
}

Preparation replace(const std::string& file, const std::string& text, const std::string& by) {
  return [=](const fs::path& place) {
    std::string all = read(place / file);
    const size_t at = all.find(text);
    if (at == std::string::npos) throw std::runtime_error(file + " has no " + text);
    overwrite(place / file, all.replace(at, text.size(), by));
  };
}

Preparation permit(const std::string& path, unsigned mode) {
  return [=](const fs::path& place) { fs::permissions(place / path, static_cast<fs::perms>(mode)); };
}

}  // namespace synthesizer
