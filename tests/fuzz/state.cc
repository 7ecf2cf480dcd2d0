// A checkpoint's state.json. Its checksum of itself refuses nearly all that is altered, so the same bytes are also
// tried with the checksum that they should have: what a program that writes its own would give.
#include "core/checkpoint/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/hash.h"
#include "tests/fuzz/fuzz.h"

using namespace synthesizer;

namespace {

void read(const std::string& text) {
  CheckpointState state;
  CheckpointChecksums checksums;
  if (!fuzz::accepts([&] { state_from_text(text, "state.json", state, checksums); })) return;
  CheckpointState again;
  CheckpointChecksums checksums_again;
  const std::string written = state_to_text(state, checksums);
  state_from_text(written, "state.json", again, checksums_again);
  fuzz::hold(state_to_text(again, checksums_again) == written, "a state's text reads back as it was");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(fuzz::text_of(data, size));
  read(text);
  if (std::count(text.begin(), text.end(), '[') + std::count(text.begin(), text.end(), '{') > 100) return 0;
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return 0;
  json.erase("checksum");
  json["checksum"] = fmt::format("{:016x}", hash_name(json.dump()));
  read(json.dump());
  return 0;
}
