// Protobuf text to a Run message, with errors that say where: "file:line:column: field: what is wrong; hint".
#pragma once

#include <string>
#include <string_view>

#include "configs/schema/run.pb.h"

namespace synthesizer {

// `name` is the file's, for messages. Throws UsageError at the first mistake, with the nearest known names.
config::Run parse_run(std::string_view text, const std::string& name);

// The whole message as text that parse_run reads back to the same message.
std::string run_text(const config::Run& run);

}  // namespace synthesizer
