#include "tests/data/support.h"

#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/base/philox.h"
#include "data/train_vocabulary.h"

namespace synthesizer::testing {

namespace fs = std::filesystem;

void write_file(const fs::path& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  CHECK(static_cast<bool>(out.flush()), "could not write {}", path.string());
}

void write_gzip(const fs::path& path, std::string_view bytes) {
  const gzFile file = ::gzopen(path.c_str(), "wb");
  CHECK(file != nullptr, "could not create {}", path.string());
  const int written = ::gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  CHECK(::gzclose(file) == Z_OK && written == static_cast<int>(bytes.size()), "could not write {}", path.string());
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  CHECK(static_cast<bool>(in), "could not read {}", path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

void flip_byte(const fs::path& path, size_t offset) {
  std::string bytes = read_file(path);
  bytes.at(offset) = static_cast<char>(bytes[offset] ^ 0x10);
  write_file(path, bytes);
}

std::vector<std::string> make_documents(size_t count, uint64_t seed) {
  static constexpr std::array kWords = {
      "the",   "of",     "and",    "a",     "to",     "in",    "is",   "river", "stone",   "morning", "letter",
      "house", "garden", "answer", "water", "small",  "old",   "went", "came",  "nothing", "winter",  "light",
      "word",  "road",   "table",  "quick", "silver", "naïve", "café", "hand",  "window",  "ship",    "bright"};
  static constexpr std::array kSyllables = {"ing", "er",   "est",  "ly",   "ness", "ful",  "less", "ment", "ish",
                                            "dom", "hood", "ward", "some", "ship", "ling", "let",  "able", "ous"};
  std::vector<std::string> documents;
  for (size_t i = 0; i < count; ++i) {
    std::string text;
    const auto word = [&](uint32_t at) { return philox({at, static_cast<uint32_t>(i), 0, 0}, philox_key(seed)); };
    const uint32_t words = i % 17 == 16 ? 0 : 3 + word(0)[1] % 60;
    for (uint32_t w = 0; w < words; ++w) {
      const auto random = word(w + 1);
      // Frequent words first, as in language.
      const uint32_t index = std::min(random[0] % kWords.size(), random[1] % kWords.size());
      text += kWords[index];
      // Endings, so that there is something for pieces to be made of.
      if (random[3] % 3 == 0) text += kSyllables[random[3] / 3 % kSyllables.size()];
      if (random[3] % 9 == 0) text += kSyllables[random[3] / 999 % kSyllables.size()];
      text += random[2] % 12 == 0 ? ".\n" : " ";
    }
    documents.push_back(text);
  }
  return documents;
}

std::string json_lines(const std::vector<std::string>& documents) {
  std::string lines;
  for (const std::string& document : documents) {
    lines += nlohmann::json{{"text", document}, {"url", "https://example.org"}}.dump() + "\n";
  }
  return lines;
}

fs::path make_tokenizer(const fs::path& folder, int32_t size) {
  const fs::path text = folder / "tokenizer-text.jsonl";
  write_file(text, json_lines(make_documents(400, 99)));
  const fs::path model = folder / "small.model";
  train_vocabulary({.inputs = {text.string()}, .size = size, .output = model});
  return model;
}

BuildOptions make_corpus_files(const fs::path& folder, size_t documents) {
  const std::vector<std::string> all = make_documents(documents);
  const auto third = static_cast<std::ptrdiff_t>(documents / 3);
  write_gzip(folder / "a.json.gz", json_lines({all.begin(), all.begin() + third}));
  write_file(folder / "b.jsonl", json_lines({all.begin() + third, all.begin() + 2 * third}));
  write_file(folder / "c.json", json_lines({all.begin() + 2 * third, all.end()}));
  return {.inputs = {(folder / "[abc].json*").string()},
          .tokenizer = make_tokenizer(folder, 120),
          .output = folder / "shards",
          .threads = 2};
}

fs::path make_shards(const fs::path& folder, size_t documents, int64_t shards) {
  BuildOptions options = make_corpus_files(folder, documents);
  options.shards = shards;
  build_shards(options);
  return options.output;
}

std::vector<std::pair<std::string, std::string>> folder_bytes(const fs::path& folder) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    files.emplace_back(name, entry.is_regular_file() ? read_file(entry.path()) : "");
  }
  std::sort(files.begin(), files.end());
  return files;
}

Output run_program(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  CHECK(pipe != nullptr, "could not run {}", command);
  Output output;
  std::array<char, 4096> buffer;
  while (const size_t got = ::fread(buffer.data(), 1, buffer.size(), pipe)) output.text.append(buffer.data(), got);
  const int status = ::pclose(pipe);
  output.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return output;
}

}  // namespace synthesizer::testing
