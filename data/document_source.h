// Documents out of text files, one after the other and in bounded memory: C4's .json.gz and other lines of JSON, and
// plain text. Reading (decompression, cutting into records) and parsing (JSON, UTF-8) are apart, so that many threads
// can parse what one reads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace synthesizer {

enum class TextUnit { kLine, kFile };  // what is a document of a .txt file

struct SourceOptions {
  std::string text_field = "text";  // of a line of JSON
  TextUnit text_unit = TextUnit::kLine;
};

// The files that the patterns (shell wildcards, or plain names) match, in sorted order, each once.
// UsageError: a pattern that matches nothing, a folder, a name that ends in none of .json .jsonl .txt (each also .gz).
std::vector<std::filesystem::path> expand_inputs(const std::vector<std::string>& patterns);

// One document as it stands in its file.
struct RawDocument {
  std::string bytes;  // a line without its end, or the whole file
  int64_t line = 1;   // where it starts
};

// Every document of one file. UsageError: file missing or unreadable, compressed data that is damaged or ends early, a
// document above 1 GiB.
class DocumentReader {
 public:
  DocumentReader(const std::filesystem::path& path, const SourceOptions& options);
  ~DocumentReader();
  DocumentReader(DocumentReader&&) noexcept;
  DocumentReader& operator=(DocumentReader&&) noexcept;

  // The next document into `out`, whose memory is used again; false at the end. Lines of JSON that are blank are no
  // documents; every line of text is one.
  bool next(RawDocument& out);

 private:
  class Stream;
  bool read_record(RawDocument& out);

  std::unique_ptr<Stream> stream_;
  bool json_;
  bool whole_file_;
  int64_t line_ = 0;
  bool done_ = false;
};

// The text of a document: the JSON field, or the bytes themselves. Pure; called from many threads. UsageErrors name
// file and line: broken JSON, field missing or not a string, bytes that are not UTF-8.
std::string parse_document(const std::filesystem::path& path, const SourceOptions& options, RawDocument&& raw);

}  // namespace synthesizer
