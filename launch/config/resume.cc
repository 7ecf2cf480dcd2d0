#include "launch/config/resume.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "launch/config/fields.h"

namespace synthesizer {
namespace {

constexpr std::array<std::string_view, 10> kMayDiffer = {
    "steps", "parallel.mesh", "parallel.layout", "parallel.zero", "parallel.microbatches", "recompute", "device",
    "log",   "eval",          "checkpoint"};

bool may_differ(std::string_view path) {
  return std::any_of(kMayDiffer.begin(), kMayDiffer.end(), [&](std::string_view allowed) {
    return path == allowed ||
           (path.size() > allowed.size() && path.starts_with(allowed) && path[allowed.size()] == '.');
  });
}

}  // namespace

void check_resume(const config::Run& saved, const config::Run& now) {
  std::map<std::string, std::string> before;
  visit_fields(saved, [&](const std::string& path, const Message& message, const FieldDescriptor& field) {
    before[path] = field_text(message, field);
  });
  visit_fields(now, [&](const std::string& path, const Message& message, const FieldDescriptor& field) {
    const std::string text = field_text(message, field);
    if (may_differ(path) || before[path] == text) return;
    fail_usage(
        "{}: got {}, but the run's checkpoint was written with {}. Go on with that value, or give the new run another "
        "folder (--run)",
        path, text, before[path]);
  });
}

}  // namespace synthesizer
