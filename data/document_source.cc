#include "data/document_source.h"

#include <glob.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "data/utf8.h"

namespace synthesizer {
namespace {

// A few documents and their copies are in memory at a time; a larger one is no document but a corpus in the wrong
// format.
constexpr size_t kLargestDocument = size_t{128} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_json(const std::filesystem::path& path) {
  std::filesystem::path name = path.filename();
  if (name.extension() == ".gz") name = name.stem();
  return name.extension() == ".json" || name.extension() == ".jsonl";
}

void check_input_file(const std::filesystem::path& path) {
  std::filesystem::path name = path.filename();
  if (name.extension() == ".gz") name = name.stem();
  const std::string extension = name.extension();
  if (std::filesystem::is_directory(path)) {
    fail_usage("input {} is a folder; expected files, for example '{}/*.json.gz'", path.string(), path.string());
  }
  if (extension != ".json" && extension != ".jsonl" && extension != ".txt") {
    fail_usage("input {}: got a file named {}, expected .json, .jsonl or .txt, each also with .gz", path.string(),
               path.filename().string());
  }
}

std::vector<std::filesystem::path> expand_pattern(const std::string& pattern) {
  if (std::filesystem::exists(pattern)) return {pattern};  // also names that hold wildcard characters
  glob_t matches{};
  const int result = ::glob(pattern.c_str(), GLOB_BRACE | GLOB_TILDE, nullptr, &matches);
  std::vector<std::filesystem::path> paths(matches.gl_pathv, matches.gl_pathv + (result == 0 ? matches.gl_pathc : 0));
  ::globfree(&matches);
  if (paths.empty()) fail_usage("input {}: no such file", pattern);
  std::sort(paths.begin(), paths.end());  // glob's own order depends on the locale
  return paths;
}

bool is_blank(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == ' ' || c == '\t' || c == '\r'; });
}

// What nlohmann says, without its class names and places: "invalid literal; last read: 'nope'".
std::string json_reason(const nlohmann::json::exception& error) {
  std::string_view what = error.what();
  const size_t column = what.find("column ");
  const size_t start = column == std::string_view::npos ? what.find("] ") : what.find(": ", column);
  return std::string(start == std::string_view::npos ? what : what.substr(start + 2));
}

std::string parse_json_line(const std::filesystem::path& path, const SourceOptions& options, const RawDocument& raw) {
  try {
    nlohmann::json value = nlohmann::json::parse(raw.bytes);
    if (!value.is_object()) {
      fail_usage("broken json on line {} of {}: got {}, expected an object with a field \"{}\"", raw.line,
                 path.string(), value.type_name(), options.text_field);
    }
    const auto field = value.find(options.text_field);
    if (field == value.end()) {
      std::vector<std::string> known;
      for (const auto& item : value.items()) known.push_back(item.key());
      fail_usage("line {} of {} has no field \"{}\"; it has {}. Choose with --text-field", raw.line, path.string(),
                 options.text_field, known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
    }
    if (!field->is_string()) {
      fail_usage("line {} of {}: field \"{}\" is a {}, expected a string", raw.line, path.string(), options.text_field,
                 field->type_name());
    }
    return std::move(field->get_ref<std::string&>());
  } catch (const nlohmann::json::parse_error& error) {
    fail_usage("broken json on line {} of {}, byte {}: {}. Expected an object a line; repair or remove the line",
               raw.line, path.string(), error.byte, json_reason(error));
  } catch (const nlohmann::json::exception& error) {  // a number that no double holds
    fail_usage("broken json on line {} of {}: {}", raw.line, path.string(), json_reason(error));
  }
}

}  // namespace

std::vector<std::filesystem::path> expand_inputs(const std::vector<std::string>& patterns) {
  std::vector<std::filesystem::path> paths;
  for (const std::string& pattern : patterns) {
    for (std::filesystem::path& path : expand_pattern(pattern)) {
      check_input_file(path);
      if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(std::move(path));
    }
  }
  if (paths.empty()) fail_usage("no input: expected at least one file or pattern");
  return paths;
}

// Bytes of a file, unpacked if it is gzip, through one buffer.
class DocumentReader::Stream {
 public:
  explicit Stream(const std::filesystem::path& path) : path_(path), file_(::gzopen(path.c_str(), "rbe")) {
    if (file_ == nullptr) fail_usage("could not read {}: {}", path.string(), std::strerror(errno));
    ::gzbuffer(file_, 1 << 17);
  }
  ~Stream() { ::gzclose(file_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // What is read and not yet taken; empty only at the end.
  std::string_view peek() {
    if (begin_ == end_) refill();
    return {buffer_.data() + begin_, end_ - begin_};
  }
  void take(size_t bytes) { begin_ += bytes; }

 private:
  void refill() {
    const int got = ::gzread(file_, buffer_.data(), static_cast<unsigned>(buffer_.size()));
    int error = Z_OK;
    const char* reason = ::gzerror(file_, &error);
    // A stream that is cut off gives its bytes first and Z_BUF_ERROR with the last of them.
    if (error == Z_BUF_ERROR)
      fail_usage("input {} ends early: its gzip stream is cut off. Fetch or make the file again", path_.string());
    if (got < 0 || error != Z_OK) {
      fail_usage("could not read {}: {}", path_.string(), error == Z_ERRNO ? std::strerror(errno) : reason);
    }
    if (first_ && path_.extension() == ".gz" && ::gzdirect(file_)) {
      fail_usage(
          "input {}: got a file that is not in gzip format, expected it by its name. Rename it, or make it again",
          path_.string());
    }
    first_ = false;
    begin_ = 0;
    end_ = static_cast<size_t>(got);
  }

  std::filesystem::path path_;
  gzFile file_;
  std::array<char, 1 << 18> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool first_ = true;

  friend class DocumentReader;
};

DocumentReader::DocumentReader(const std::filesystem::path& path, const SourceOptions& options)
    : stream_(std::make_unique<Stream>(path)),
      json_(is_json(path)),
      whole_file_(!json_ && options.text_unit == TextUnit::kFile) {}

DocumentReader::~DocumentReader() = default;
DocumentReader::DocumentReader(DocumentReader&&) noexcept = default;
DocumentReader& DocumentReader::operator=(DocumentReader&&) noexcept = default;

bool DocumentReader::next(RawDocument& out) {
  while (read_record(out)) {
    if (!json_ || !is_blank(out.bytes)) return true;
  }
  return false;
}

bool DocumentReader::read_record(RawDocument& out) {
  out.bytes.clear();
  out.line = ++line_;
  bool complete = false;
  std::string_view ready;
  while (!done_ && !complete && !(ready = stream_->peek()).empty()) {
    const size_t end = whole_file_ ? std::string_view::npos : ready.find('\n');
    complete = end != std::string_view::npos;
    out.bytes.append(ready.substr(0, end));
    stream_->take(complete ? end + 1 : ready.size());
    if (out.bytes.size() > kLargestDocument) {
      fail_usage("line {} of {}: got a document of more than {} bytes, expected at most so many. Cut it into several",
                 line_, stream_->path_.string(), kLargestDocument);
    }
  }
  // A file's last line may lack its end; a whole file is a document even if it is empty.
  const bool found = complete || !out.bytes.empty() || (whole_file_ && !done_);
  if (!complete) done_ = true;
  if (line_ == 1 && out.bytes.starts_with(kByteOrderMark)) out.bytes.erase(0, kByteOrderMark.size());
  if (!whole_file_ && out.bytes.ends_with('\r')) out.bytes.pop_back();
  return found;
}

std::string parse_document(const std::filesystem::path& path, const SourceOptions& options, RawDocument&& raw) {
  if (const auto bad = find_invalid_utf8(raw.bytes)) {
    const std::string_view before = std::string_view(raw.bytes).substr(0, *bad);
    const auto lines = std::count(before.begin(), before.end(), '\n');
    const size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    fail_usage("invalid UTF-8 at line {} byte {} of {}: got 0x{:02x}. Convert the file, for example with iconv",
               raw.line + lines, *bad - line_start + 1, path.string(), static_cast<uint8_t>(raw.bytes[*bad]));
  }
  return is_json(path) ? parse_json_line(path, options, raw) : std::move(raw.bytes);
}

}  // namespace synthesizer
