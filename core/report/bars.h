// Bars in groups as SVG, for reports: how several compare in several things.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace synthesizer {

struct BarSeries {
  std::string label;
  std::string color;           // as SVG takes it
  std::vector<double> values;  // one a group, at least 0; not finite: none there
};

struct BarChart {
  std::string title, y_label;
  std::vector<std::string> groups;  // under the bars
  std::vector<BarSeries> series;
  double line = std::numeric_limits<double>::quiet_NaN();  // drawn across, dashed: what is to be reached
  int width = 860, height = 420;                           // pixels
};

// Each bar has its value above it, of three digits. Throws Error if no value is finite, or if a series has not a value
// for each group.
std::string bar_chart_svg(const BarChart& chart);

}  // namespace synthesizer
