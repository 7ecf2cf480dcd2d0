// How far a command is, on stderr: one line redrawn in place on a terminal; otherwise a line at each stage and each
// tenth of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace synthesizer {

class StatusLine {
 public:
  // Silent unless `shown` (rank 0). `descriptor` is stderr's.
  explicit StatusLine(bool shown, int descriptor = 2);
  // Clears the line on a terminal.
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  // `done` of `total` `unit`s of `stage`; total 0: not known. Cheap enough to call for each.
  void update(std::string_view stage, int64_t done, int64_t total, std::string_view unit);

 private:
  void write(const std::string& text) const;

  bool shown_;
  int descriptor_;
  bool terminal_;
  std::string stage_;
  int64_t next_ = 0;  // the least `done` that is worth another line
  std::chrono::steady_clock::time_point drawn_;
};

// "[#####.....] building 120/240 documents"; without a bar where total is 0.
std::string status_text(std::string_view stage, int64_t done, int64_t total, std::string_view unit, int bar);

}  // namespace synthesizer
