#include "launch/config/fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <google/protobuf/text_format.h>

#include <charconv>
#include <optional>

#include "core/base/error.h"
#include "core/base/nearest.h"

namespace synthesizer {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::Reflection;

std::vector<std::string> enum_names(const FieldDescriptor& field) {
  std::vector<std::string> names;
  for (int i = 0; i < field.enum_type()->value_count(); ++i) names.push_back(field.enum_type()->value(i)->name());
  return names;
}

template <typename T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view without_spaces(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

std::string_view without_quotes(std::string_view text) {
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front();
  return quoted ? text.substr(1, text.size() - 2) : text;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    parts.emplace_back(without_quotes(text.substr(0, comma)));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return parts;
}

// False where `text` is no value of the field's type.
bool set_value(Message& message, const FieldDescriptor& field, std::string_view text) {
  const Reflection& reflection = *message.GetReflection();
  const auto assign = [&](const auto& value, auto set) {
    if (value) (reflection.*set)(&message, &field, *value);
    return value.has_value();
  };
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return assign(number<int32_t>(text), &Reflection::SetInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return assign(number<int64_t>(text), &Reflection::SetInt64);
    case FieldDescriptor::CPPTYPE_UINT64:
      return assign(number<uint64_t>(text), &Reflection::SetUInt64);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return assign(number<double>(text), &Reflection::SetDouble);
    case FieldDescriptor::CPPTYPE_BOOL:
      if (text != "true" && text != "false") return false;
      reflection.SetBool(&message, &field, text == "true");
      return true;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = field.enum_type()->FindValueByName(std::string(text));
      if (value != nullptr) reflection.SetEnum(&message, &field, value);
      return value != nullptr;
    }
    case FieldDescriptor::CPPTYPE_STRING:
      reflection.SetString(&message, &field, std::string(without_quotes(text)));
      return true;
    default:
      fail("configuration field {} has a type that --set does not know", field.full_name());
  }
}

// Every path below the message whose last name is `name`: what was meant by it alone.
void paths_to(const Descriptor& message, const std::string& name, const std::string& path,
              std::vector<std::string>& found) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    const std::string here = join_path(path, field.name());
    if (field.name() == name) found.push_back(here);
    if (field.message_type() != nullptr) paths_to(*field.message_type(), name, here, found);
  }
}

// The field `name` of `message`, whose own path is `path`.
const FieldDescriptor& find_field(const Message& message, std::string_view path, const std::string& name,
                                  std::string_view assignment) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  if (field != nullptr) return *field;
  std::vector<std::string> elsewhere;
  paths_to(*config::Run::descriptor(), name, "", elsewhere);
  if (!elsewhere.empty())
    fail_usage("--set {}: {} has no field '{}'; did you mean {}?", assignment,
               path.empty() ? "the configuration" : path, name, fmt::join(elsewhere, ", "));
  fail_usage("--set {}: unknown field '{}' in {}{}", assignment, name, path.empty() ? "the configuration" : path,
             nearest_hint(name, field_names(*message.GetDescriptor())));
}

}  // namespace

std::string join_path(std::string_view message_path, std::string_view name) {
  return message_path.empty() ? std::string(name) : fmt::format("{}.{}", message_path, name);
}

std::vector<std::string> field_names(const Descriptor& message) {
  std::vector<std::string> names;
  for (int i = 0; i < message.field_count(); ++i) names.push_back(message.field(i)->name());
  return names;
}

std::string expected_value(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return "an integer";
    case FieldDescriptor::CPPTYPE_UINT64:
      return "a non-negative integer";
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "a number";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return fmt::format("one of {}", fmt::join(enum_names(field), ", "));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return fmt::format("a group of fields ({})", fmt::join(field_names(*field.message_type()), ", "));
    default:
      return "text in quotes";
  }
}

void set_field(config::Run& run, std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos) fail_usage("--set {}: no value, expected field.path=value", assignment);
  std::string_view rest = without_spaces(assignment.substr(0, equals));
  const std::string_view value = without_spaces(assignment.substr(equals + 1));

  Message* message = &run;
  std::string path;
  for (size_t dot = rest.find('.'); dot != std::string_view::npos; dot = rest.find('.')) {
    const std::string name(rest.substr(0, dot));
    const FieldDescriptor& field = find_field(*message, path, name, assignment);
    path = join_path(path, name);
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE)
      fail_usage("--set {}: {} has no fields of its own, expected {}={}", assignment, path, path,
                 expected_value(field));
    message = message->GetReflection()->MutableMessage(message, &field);
    rest.remove_prefix(dot + 1);
  }
  const FieldDescriptor& field = find_field(*message, path, std::string(rest), assignment);
  path = join_path(path, rest);
  if (&field == config::Run::descriptor()->FindFieldByName("base"))
    fail_usage("--set {}: files are composed only by `base` inside a file", assignment);
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
    fail_usage("--set {}: {} is {}, expected one of them: {}.FIELD=VALUE", assignment, path, expected_value(field),
               path);
  if (field.is_repeated()) {
    message->GetReflection()->ClearField(message, &field);
    for (const std::string& part : split_list(value)) message->GetReflection()->AddString(message, &field, part);
  } else if (!set_value(*message, field, value)) {
    const bool named =
        field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM && !nearest_names(value, enum_names(field)).empty();
    fail_usage("--set {}: {} got '{}', expected {}{}", assignment, path, value, expected_value(field),
               named ? nearest_hint(value, enum_names(field)) : "");
  }
}

void fill_defaults(Message& message) {
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    if (field.is_repeated()) continue;
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      fill_defaults(*reflection.MutableMessage(&message, &field));
    } else if (!reflection.HasField(message, &field)) {
      // What a getter returns for a field that is not set is the schema's default; setting it makes it shown.
      switch (field.cpp_type()) {
        case FieldDescriptor::CPPTYPE_INT32:
          reflection.SetInt32(&message, &field, field.default_value_int32());
          break;
        case FieldDescriptor::CPPTYPE_INT64:
          reflection.SetInt64(&message, &field, field.default_value_int64());
          break;
        case FieldDescriptor::CPPTYPE_UINT64:
          reflection.SetUInt64(&message, &field, field.default_value_uint64());
          break;
        case FieldDescriptor::CPPTYPE_DOUBLE:
          reflection.SetDouble(&message, &field, field.default_value_double());
          break;
        case FieldDescriptor::CPPTYPE_BOOL:
          reflection.SetBool(&message, &field, field.default_value_bool());
          break;
        case FieldDescriptor::CPPTYPE_ENUM:
          reflection.SetEnum(&message, &field, field.default_value_enum());
          break;
        case FieldDescriptor::CPPTYPE_STRING:
          reflection.SetString(&message, &field, field.default_value_string());
          break;
        default:
          fail("configuration field {} has a type without a default", field.full_name());
      }
    }
  }
}

void visit_fields(const Message& message, const FieldVisitor& visit, const std::string& path) {
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    const std::string field_path = join_path(path, field.name());
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
      visit_fields(message.GetReflection()->GetMessage(message, &field), visit, field_path);
    else
      visit(field_path, message, field);
  }
}

std::string field_text(const Message& message, const FieldDescriptor& field) {
  google::protobuf::TextFormat::Printer printer;
  std::string text;
  if (!field.is_repeated()) {
    printer.PrintFieldValueToString(message, &field, -1, &text);
    return text;
  }
  std::vector<std::string> parts;
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    printer.PrintFieldValueToString(message, &field, i, &text);
    parts.push_back(text);
  }
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

}  // namespace synthesizer
