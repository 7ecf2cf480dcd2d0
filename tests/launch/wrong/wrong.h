// Wrong input as a table: what is done to a workplace, what is typed there, and the words that the one line of the
// answer must have. The real program is run; it must exit with 2 and leave the folder byte for byte as it was.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tests/launch/workplace.h"

namespace synthesizer {

// What is done to a copy of the workplace before the command is typed.
using Preparation = std::function<void(const std::filesystem::path& place)>;

struct Wrong {
  std::string arguments;           // as typed after "synthesizer", words between spaces; '…' keeps spaces
  std::vector<std::string> words;  // all in the line that begins with "error: "
  std::vector<Preparation> before = {};
  std::string input = "";  // on stdin
  bool as_user = false;    // without root's right to read and write everything
};

// Types every row in a copy of its own of `place`, which no row changes.
void expect_refused(const std::filesystem::path& place, std::span<const Wrong> table);

// The words of a line; 'a b' is one.
std::vector<std::string> words_of(const std::string& line);

// A whole copy, of files and folders.
void copy_place(const std::filesystem::path& from, const std::filesystem::path& to);

// The line of `err` that begins with "error: ", to its end; the test fails unless it is the last and the only one.
std::string error_line(const ProgramResult& result);

// Preparations. `file` is relative to the place.
Preparation write(const std::string& file, const std::string& text);
Preparation make_folder(const std::string& folder);
Preparation remove(const std::string& path);
Preparation copy(const std::string& from, const std::string& to);
Preparation link(const std::string& target, const std::string& link);
// The file's first bytes only; `bytes` < 0: so many less.
Preparation cut(const std::string& file, int64_t bytes);
// One bit of the byte `at`; `at` < 0: counted from the end.
Preparation flip(const std::string& file, int64_t at);
Preparation replace(const std::string& file, const std::string& text, const std::string& by);
Preparation permit(const std::string& path, unsigned mode);

}  // namespace synthesizer
