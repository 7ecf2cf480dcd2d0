#include "launch/run_record.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "launch/config/load.h"
#include "launch/config/resume.h"
#include "launch/config/text.h"

namespace synthesizer {
namespace {

constexpr std::string_view kShards = "# shards: ";

std::string line_after(const std::string& text, std::string_view start) {
  const size_t begin = text.find(start);
  if (begin == std::string::npos) return "";
  const size_t from = begin + start.size();
  return text.substr(from, text.find('\n', from) - from);
}

config::Run read(const std::string& record) {
  config::Run run = parse_run(record, "config.txtpb");
  complete_run(run);
  return run;
}

}  // namespace

std::filesystem::path default_run_folder(const std::filesystem::path& config) {
  return std::filesystem::path("runs") / config.stem();
}

std::string run_record(const config::Run& run, const RunData& data) {
  return fmt::format("# synthesizer {}\n{}{}\n{}", SYNTHESIZER_VERSION, kShards, data.fingerprint(), run_text(run));
}

void check_record(const std::string& before, const std::string& now) {
  check_resume(read(before), read(now));
  const std::string was = line_after(before, kShards);
  const std::string is = line_after(now, kShards);
  if (was != is)
    fail_usage("data.shards: got {}, but the run was begun with {}. Give the new run another folder (--run)", is, was);
}

}  // namespace synthesizer
