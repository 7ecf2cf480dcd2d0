// What the data tests share: temporary folders, text made from a seed, a small tokenizer, small folders of shards.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "data/builder.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer::testing {

void write_file(const std::filesystem::path& path, std::string_view bytes);
void write_gzip(const std::filesystem::path& path, std::string_view bytes);
std::string read_file(const std::filesystem::path& path);
void flip_byte(const std::filesystem::path& path, size_t offset);

// `count` documents of words; some have several lines, some letters outside ASCII, every 17th is empty.
std::vector<std::string> make_documents(size_t count, uint64_t seed = 1);
std::string json_lines(const std::vector<std::string>& documents);

// A tokenizer of 300 pieces, trained on such documents.
std::filesystem::path make_tokenizer(const std::filesystem::path& folder, int32_t size = 300);

// Three files of `documents` documents in all, a .json.gz, a .jsonl and a .json, and options to build them.
BuildOptions make_corpus_files(const std::filesystem::path& folder, size_t documents);

// A finished folder of shards.
std::filesystem::path make_shards(const std::filesystem::path& folder, size_t documents, int64_t shards);

// Bytes of every file of a folder, by name.
std::vector<std::pair<std::string, std::string>> folder_bytes(const std::filesystem::path& folder);

// The message of the UsageError that `action` throws.
template <typename Action>
std::string usage_error(Action&& action) {
  try {
    action();
  } catch (const UsageError& error) {
    return error.what();
  }
  ADD_FAILURE() << "expected a UsageError";
  return "";
}

// Runs a program; its stdout and exit status.
struct Output {
  int status = -1;
  std::string text;
};
Output run_program(const std::string& command);

}  // namespace synthesizer::testing
