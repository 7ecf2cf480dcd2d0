#include "core/train/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

namespace synthesizer {
namespace {

constexpr auto kRedrawAfter = std::chrono::milliseconds(100);

int terminal_columns(int descriptor) {
  winsize size{};
  return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string duration_text(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "-";
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  const int64_t days = whole / 86400, hours = whole / 3600 % 24, minutes = whole / 60 % 60, rest = whole % 60;
  if (days > 0) return fmt::format("{}d {}:{:02}:{:02}", days, hours, minutes, rest);
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, rest);
  return fmt::format("{}:{:02}", minutes, rest);
}

std::string rate_text(double per_second) {
  if (!(per_second >= 999.5)) return fmt::format("{:.0f}", per_second);
  if (per_second < 999.95e3) return fmt::format("{:.1f}k", per_second / 1e3);
  return fmt::format("{:.1f}M", per_second / 1e6);
}

std::string progress_line(const ProgressFigures& figures) {
  return fmt::format("step {}/{} loss {:.6g} {} tok/s, {} left", figures.step, figures.total, figures.loss,
                     rate_text(figures.tokens_per_second), duration_text(figures.seconds_left));
}

std::string progress_bar(const ProgressFigures& figures, int columns) {
  const std::string text = fmt::format("{}/{} loss {:.4g} {} tok/s {} left", figures.step, figures.total, figures.loss,
                                       rate_text(figures.tokens_per_second), duration_text(figures.seconds_left));
  const int cells = std::min(40, columns - static_cast<int>(text.size()) - 3);  // brackets and a space
  if (cells < 5) return text.substr(0, static_cast<size_t>(std::max(columns, 0)));
  const int64_t done = figures.total > 0 ? std::clamp<int64_t>(cells * figures.step / figures.total, 0, cells) : 0;
  return fmt::format("[{}{}] {}", std::string(static_cast<size_t>(done), '#'),
                     std::string(static_cast<size_t>(cells - done), '.'), text);
}

Progress::Progress(Options options)
    : options_(std::move(options)),
      terminal_(::isatty(options_.descriptor) == 1),
      start_(options_.clock()),
      drawn_(start_ - kRedrawAfter) {}

Progress::~Progress() {
  if (bar_shown_) print("\n");
}

void Progress::update(int64_t step, double loss, double tokens_per_second) {
  const auto now = options_.clock();
  const bool last = step >= options_.total;
  const int64_t done = step - options_.first_step;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double left = done > 0 ? elapsed / static_cast<double>(done) * static_cast<double>(options_.total - step) : -1;
  const ProgressFigures figures{step, options_.total, loss, tokens_per_second, left};
  if (!terminal_) {
    if (last || step % std::max<int64_t>(1, options_.log_every) == 0) print(progress_line(figures) + "\n");
    return;
  }
  if (!last && now - drawn_ < kRedrawAfter) return;
  drawn_ = now;
  bar_shown_ = true;
  // The last column stays free: some terminals wrap when it is filled.
  print("\r\033[K" + progress_bar(figures, terminal_columns(options_.descriptor) - 1));
}

void Progress::message(std::string_view text) {
  clear_bar();
  print(fmt::format("{}\n", text));
}

void Progress::clear_bar() {
  if (bar_shown_) print("\r\033[K");
  bar_shown_ = false;
}

// Progress that cannot be shown is no reason to end a run.
void Progress::print(std::string_view text) const {
  while (!text.empty()) {
    const ssize_t wrote = ::write(options_.descriptor, text.data(), text.size());
    if (wrote <= 0) return;
    text.remove_prefix(static_cast<size_t>(wrote));
  }
}

}  // namespace synthesizer
