// Protobuf text to a Run message, with errors that say where: "file:line:column: field: what is wrong; hint".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "configs/schema/run.pb.h"

namespace synthesizer {

// What a configuration may have of bytes; far more than anyone types.
inline constexpr size_t kLargestConfiguration = size_t{1} << 20;

// Lays protobuf text on `message`. `name` is the file's and `what` it is ("the configuration"), for messages. Throws
// UsageError at the first mistake, with the nearest known names, and for text above kLargestConfiguration.
void parse_text(std::string_view text, const std::string& name, std::string_view what,
                google::protobuf::Message& message);

// `name` is the file's, for messages. Throws UsageError at the first mistake, with the nearest known names, and for
// text above kLargestConfiguration.
config::Run parse_run(std::string_view text, const std::string& name);

// The whole message as text that parse_run reads back to the same message.
std::string run_text(const config::Run& run);

}  // namespace synthesizer
