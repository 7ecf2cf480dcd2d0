#include "launch/status_line.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace synthesizer {
namespace {

constexpr int kBarWidth = 30;
constexpr std::chrono::milliseconds kRedraw{100};

}  // namespace

std::string status_text(std::string_view stage, int64_t done, int64_t total, std::string_view unit, int bar) {
  if (total <= 0) return fmt::format("{} {} {}", stage, done, unit);
  const int filled = static_cast<int>(std::clamp<int64_t>(done * bar / total, 0, bar));
  const std::string drawn = bar == 0 ? "" : fmt::format("[{:#>{}}{:.>{}}] ", "", filled, "", bar - filled);
  return fmt::format("{}{} {}/{} {}", drawn, stage, done, total, unit);
}

StatusLine::StatusLine(bool shown, int descriptor)
    : shown_(shown), descriptor_(descriptor), terminal_(isatty(descriptor) == 1) {}

StatusLine::~StatusLine() {
  if (shown_ && terminal_ && !stage_.empty()) write("\r\x1b[K");
}

void StatusLine::update(std::string_view stage, int64_t done, int64_t total, std::string_view unit) {
  if (!shown_) return;
  const bool begins = stage != stage_;
  if (terminal_) {
    const auto now = std::chrono::steady_clock::now();
    if (!begins && now - drawn_ < kRedraw) return;
    drawn_ = now;
    write("\r" + status_text(stage, done, total, unit, kBarWidth) + "\x1b[K");
  } else {
    if (!begins && done < next_) return;
    // Each tenth where the end is known, otherwise at twice as many.
    next_ = total > 0 ? done + std::max<int64_t>(1, total / 10) : std::max<int64_t>(1000, 2 * done);
    write(status_text(stage, done, total, unit, 0) + "\n");
  }
  stage_ = stage;
}

void StatusLine::write(const std::string& text) const {
  // Progress that cannot be shown is no reason to stop.
  [[maybe_unused]] const ssize_t written = ::write(descriptor_, text.data(), text.size());
}

}  // namespace synthesizer
