// Source: protobuf's TextFormat. Its errors name the message type and a position past the mistake; a scan of the text
// up to there gives the dotted path and the word that was typed.
#include "launch/config/text.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>

#include <cctype>
#include <optional>
#include <vector>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "launch/config/fields.h"

namespace synthesizer {
namespace {

using google::protobuf::Descriptor;

// Where a position lies: the messages that are open there, and the last word before it.
struct Place {
  std::vector<std::string> path;
  std::string word;
  int line = 0;  // of the word, both counted from 0
  int column = 0;
};

// One pass over protobuf text: words, braces, quoted text and comments are all the syntax that places need.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  // The place just before (line, column), counted as protobuf's tokenizer does: from 0, tabs to the next multiple of 8.
  Place before(int line, int column) {
    while (at_ < text_.size() && (line_ < line || (line_ == line && column_ < column))) token();
    return place_;
  }

 private:
  void token() {
    const char c = text_[at_];
    if (c == '#') {
      while (at_ < text_.size() && text_[at_] != '\n') advance();
    } else if (c == '"' || c == '\'') {
      quoted(c);
    } else if (word_character(c)) {
      word();
    } else {
      if (c == '{' || c == '<') place_.path.push_back(place_.word);
      if ((c == '}' || c == '>') && !place_.path.empty()) place_.path.pop_back();
      advance();
    }
  }

  void quoted(char quote) {
    advance();
    while (at_ < text_.size() && text_[at_] != quote && text_[at_] != '\n') {
      if (text_[at_] == '\\') advance();
      if (at_ < text_.size()) advance();
    }
    if (at_ < text_.size()) advance();
  }

  void word() {
    const Place start{{}, "", line_, column_};
    const size_t begin = at_;
    while (at_ < text_.size() && word_character(text_[at_])) advance();
    const std::string_view word = text_.substr(begin, at_ - begin);
    if (std::isdigit(static_cast<unsigned char>(word.front())) != 0) return;
    place_.word = word;
    place_.line = start.line;
    place_.column = start.column;
  }

  void advance() {
    const char c = text_[at_++];
    if (c == '\n') {
      ++line_;
      column_ = 0;
    } else {
      column_ += c == '\t' ? 8 - column_ % 8 : 1;
    }
  }

  static bool word_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

  std::string_view text_;
  size_t at_ = 0;
  int line_ = 0;
  int column_ = 0;
  Place place_;
};

const Descriptor* message_at(const Descriptor* message, const std::vector<std::string>& path) {
  for (const std::string& name : path) {
    const FieldDescriptor* field = message->FindFieldByName(name);
    if (field == nullptr || field->message_type() == nullptr) return nullptr;
    message = field->message_type();
  }
  return message;
}

std::string path_text(const std::vector<std::string>& path) {
  std::string text;
  for (const std::string& name : path) text = join_path(text, name);
  return text;
}

// The text between the first two double quotes after `key` in `message`.
std::string quoted_after(const std::string& message, std::string_view key) {
  const size_t start = message.find('"', message.find(key) + key.size());
  const size_t end = message.find('"', start + 1);
  return end == std::string::npos ? "" : message.substr(start + 1, end - start - 1);
}

// The value that a message about a wrong value complains of.
std::optional<std::string> wrong_value(const std::string& message) {
  for (const std::string_view start : {"Expected integer, got: ", "Expected double, got: ", "Expected string, got: "})
    if (message.starts_with(start)) return message.substr(start.size());
  if (message.starts_with("Integer out of range (")) return message.substr(22, message.size() - 23);
  if (message.starts_with("Invalid value for boolean")) return quoted_after(message, "Value:");
  return std::nullopt;
}

// Other messages, where the parser's own say too little.
std::string in_words(const std::string& message) {
  if (message.ends_with("got: ")) return "the text ends here, but a brace is still open: expected fields and a }";
  if (message.starts_with("Interpreting non ascii") || message.starts_with("Invalid control characters"))
    return "not text: expected a configuration or a device file, as those in configs";
  return message.substr(0, message.size() - (message.ends_with('.') ? 1 : 0));
}

class Errors : public google::protobuf::io::ErrorCollector {
 public:
  Errors(std::string_view text, const std::string& name, const Descriptor& root, std::string_view what)
      : text_(text), name_(name), root_(root), what_(what) {}

  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    if (first_) return;
    if (line < 0) {
      first_ = fmt::format("{}: {}", name_, message);
      return;
    }
    const Place place = Scanner(text_).before(line, column);
    const Descriptor* parent = message_at(&root_, place.path);
    const std::string where = path_text(place.path);
    if (parent != nullptr && message.find("has no field named") != std::string::npos) {
      const std::string typed = quoted_after(message, "has no field named");
      first_ = fmt::format("{}:{}:{}: unknown field '{}' in {}{}", name_, place.line + 1, place.column + 1, typed,
                           where.empty() ? what_ : where, nearest_hint(typed, field_names(*parent)));
    } else if (parent != nullptr && message.find("Unknown enumeration value") == 0) {
      first_ = enum_error(place, *parent, where, message);
    } else if (const std::optional<std::string> value = wrong_value(message); value && parent != nullptr) {
      const bool named = message.starts_with("Invalid value for boolean");
      const std::string name = named ? quoted_after(message, "field") : place.word;
      const FieldDescriptor* field = parent->FindFieldByName(name);
      first_ = fmt::format("{}:{}:{}: {}: got '{}', expected {}", name_, line + 1, column + 1, join_path(where, name),
                           *value, field == nullptr ? "another value" : expected_value(*field));
    } else {
      first_ = fmt::format("{}:{}:{}: {}", name_, line + 1, column + 1, in_words(message));
    }
  }

  const std::optional<std::string>& first() const { return first_; }

 private:
  std::string enum_error(const Place& place, const Descriptor& parent, const std::string& where,
                         const std::string& message) const {
    const std::string typed = quoted_after(message, "value of");
    const std::string name = quoted_after(message, "for field");
    const FieldDescriptor* field = parent.FindFieldByName(name);
    return fmt::format("{}:{}:{}: {}: got '{}', expected {}", name_, place.line + 1, place.column + 1,
                       join_path(where, name), typed, field == nullptr ? "another value" : expected_value(*field));
  }

  std::string_view text_;
  const std::string& name_;
  const Descriptor& root_;
  std::string what_;
  std::optional<std::string> first_;
};

}  // namespace

void parse_text(std::string_view text, const std::string& name, std::string_view what, Message& message) {
  if (text.size() > kLargestConfiguration)
    fail_usage("{}: got more than {} bytes, expected {} in protobuf text", name, kLargestConfiguration, what);
  Errors errors(text, name, *message.GetDescriptor(), what);
  google::protobuf::io::ArrayInputStream input(text.data(), static_cast<int>(text.size()));
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  const bool parsed = parser.Parse(&input, &message);
  if (errors.first()) fail_usage("{}", *errors.first());
  if (!parsed) fail_usage("{}: not {} in protobuf text", name, what);
}

config::Run parse_run(std::string_view text, const std::string& name) {
  config::Run run;
  parse_text(text, name, "the configuration", run);
  return run;
}

std::string run_text(const config::Run& run) {
  std::string text;
  google::protobuf::TextFormat::PrintToString(run, &text);
  return text;
}

}  // namespace synthesizer
