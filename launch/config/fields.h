// Fields of the configuration by their dotted path ("model.encoder.attention"), through protobuf's reflection.
// Every field of configs/schema/run.proto is reached by the same few functions, so none can be forgotten.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "configs/schema/run.pb.h"

namespace synthesizer {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// "model" + "d_ff" = "model.d_ff"; the outermost message's path is empty.
std::string join_path(std::string_view message_path, std::string_view name);

// The names of a message's fields, in the schema's order.
std::vector<std::string> field_names(const google::protobuf::Descriptor& message);

// What a field takes, in words: "an integer", "true or false", "one of FP32, BF16, FP64".
std::string expected_value(const FieldDescriptor& field);

// Sets one field from "field.path=value" as --set has it. A list is given with commas and replaces what was there.
// Throws UsageError that names the nearest fields or the values the field takes.
void set_field(config::Run& run, std::string_view assignment);

// Gives every scalar that was not set its default from the schema and makes every message present.
void fill_defaults(Message& message);

// Calls `visit(path, message, field)` for each field that is not a message, depth first in the schema's order.
// Messages must be present (fill_defaults).
using FieldVisitor = std::function<void(const std::string& path, const Message& message, const FieldDescriptor& field)>;
void visit_fields(const Message& message, const FieldVisitor& visit, const std::string& path = "");

// The field's value as configuration text; a list in brackets.
std::string field_text(const Message& message, const FieldDescriptor& field);

}  // namespace synthesizer
