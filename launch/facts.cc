#include "launch/facts.h"

#include <fmt/format.h>

#include "data/manifest.h"
#include "launch/config/fields.h"

namespace synthesizer {

std::string program_identity() {
  return fmt::format("version {}, build {:016x}", SYNTHESIZER_VERSION, xxh3_of_file("/proc/self/exe"));
}

Facts run_facts(std::string_view command, const config::Run& run) {
  Facts facts = {{"command", std::string(command)}};
  visit_fields(run, [&](const std::string& path, const Message& message, const FieldDescriptor& field) {
    facts.emplace_back(path, field_text(message, field));
  });
  return facts;
}

}  // namespace synthesizer
