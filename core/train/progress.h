// Progress of a run on stderr: a bar redrawn in place on a terminal, otherwise a line now and then. Rank 0 only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace synthesizer {

struct ProgressFigures {
  int64_t step = 0;
  int64_t total = 0;
  double loss = 0;
  double tokens_per_second = 0;
  double seconds_left = 0;  // negative: not known yet
};

// "1:02:03", "2:03", "0:07"; days as "2d 3:04:05"; "-" for a negative number.
std::string duration_text(double seconds);
// A number of tokens, scaled: "950", "12.3k", "4.5M".
std::string rate_text(double per_second);
// `columns` wide at most: "[#####....] 120/1000 loss 6.789 12.3k tok/s 0:42 left".
std::string progress_bar(const ProgressFigures& figures, int columns);
// "step 120/1000 loss 6.78901 12.3k tok/s, 0:42 left".
std::string progress_line(const ProgressFigures& figures);

class Progress {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  struct Options {
    int64_t first_step = 0;  // steps done before this program began
    int64_t total = 0;
    int64_t log_every = 10;  // lines, where there is no terminal
    int descriptor = 2;      // stderr
    Clock clock = std::chrono::steady_clock::now;
  };

  explicit Progress(Options options);
  // Ends the bar's line.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // After a step; cheap enough to call at each.
  void update(int64_t step, double loss, double tokens_per_second);
  // A line of text among the progress, not torn by the bar.
  void message(std::string_view text);

 private:
  void clear_bar();
  void print(std::string_view text) const;

  Options options_;
  bool terminal_;
  bool bar_shown_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point drawn_;
};

}  // namespace synthesizer
