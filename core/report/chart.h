// Line charts as SVG, for reports: no script, no font files, readable in any browser.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace synthesizer {

struct ChartSeries {
  std::string label;
  std::string color;  // as SVG takes it
  std::vector<std::pair<double, double>> points;
  bool dashed = false;
  bool marked = false;  // a dot at each point
};

struct Chart {
  std::string title, x_label, y_label;
  std::vector<ChartSeries> series;
  int width = 860, height = 420;  // pixels
  bool log_x = false;             // x in decades
  bool legend_left = false;       // where the curves leave more room there
};

// Points that are not finite (with log_x: not above 0) are left out. Throws Error if there is no point at all.
std::string chart_svg(const Chart& chart);

// Round numbers that cut [low, high] into about `count` parts, ascending, all within.
std::vector<double> round_ticks(double low, double high, int count);
// The powers of ten within [low, high], low > 0; every second or third where they are more than `count`.
std::vector<double> decade_ticks(double low, double high, int count);

}  // namespace synthesizer
