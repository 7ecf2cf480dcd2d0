#include "core/report/bars.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/report/chart.h"
#include "core/report/svg.h"

namespace synthesizer {
namespace {

constexpr double kLeft = 64, kRight = 20, kTop = 64, kBottom = 40;
constexpr double kGap = 0.2;  // of a group's width, between it and the next
constexpr int kValueSize = 9;

class Bars {
 public:
  explicit Bars(const BarChart& chart) : chart_(chart), svg_(chart.width, chart.height) {
    double largest = 0;
    bool any = false;
    for (const BarSeries& series : chart.series) {
      CHECK(series.values.size() == chart.groups.size(), "the bars '{}' have {} values for {} groups", series.label,
            series.values.size(), chart.groups.size());
      for (const double value : series.values) {
        if (!std::isfinite(value)) continue;
        largest = std::max(largest, value);
        any = true;
      }
    }
    CHECK(any, "the chart '{}' has no bars", chart.title);
    if (std::isfinite(chart.line)) largest = std::max(largest, chart.line);
    high_ = largest > 0 ? 1.08 * largest : 1;  // room for the value above the highest
    group_ = (chart.width - kLeft - kRight) / static_cast<double>(chart.groups.size());
    bar_ = group_ * (1 - kGap) / static_cast<double>(chart.series.size());
  }

  std::string svg() {
    draw_title(svg_, chart_.width, chart_.title);
    axes();
    for (size_t series = 0; series < chart_.series.size(); ++series) draw(series);
    if (std::isfinite(chart_.line))
      svg_.path(fmt::format("M{} {:.1f}H{}", kLeft, at_y(chart_.line), chart_.width - kRight),
                "stroke=\"#555\" stroke-dasharray=\"6 4\"");
    legend();
    return svg_.finish();
  }

 private:
  double bottom() const { return chart_.height - kBottom; }
  double at_y(double y) const { return bottom() - y / high_ * (bottom() - kTop); }

  void axes() {
    for (const double y : round_ticks(0, high_, 6)) {
      svg_.path(fmt::format("M{} {:.1f}H{}", kLeft, at_y(y), chart_.width - kRight), "stroke=\"#e4e4e4\"");
      svg_.text(kLeft - 6, at_y(y) + 4, tick_text(y), Anchor::kEnd);
    }
    for (size_t group = 0; group < chart_.groups.size(); ++group)
      svg_.text(kLeft + (static_cast<double>(group) + 0.5) * group_, bottom() + 18, chart_.groups[group],
                Anchor::kMiddle);
    svg_.path(fmt::format("M{} {}V{}H{}", kLeft, kTop, bottom(), chart_.width - kRight),
              "fill=\"none\" stroke=\"#555\"");
    svg_.upright_text(16, (kTop + bottom()) / 2, chart_.y_label);
  }

  void draw(size_t index) {
    const BarSeries& series = chart_.series[index];
    for (size_t group = 0; group < series.values.size(); ++group) {
      const double value = series.values[group];
      if (!std::isfinite(value)) continue;
      const double x = kLeft + (static_cast<double>(group) + kGap / 2) * group_ + static_cast<double>(index) * bar_;
      svg_.rect(x, at_y(value), bar_, bottom() - at_y(value), fmt::format("fill=\"{}\"", series.color));
      svg_.text(x + bar_ / 2, at_y(value) - 3, fmt::format("{:.3g}", value), Anchor::kMiddle, kValueSize);
    }
  }

  // A line above the bars, so that it never lies over them.
  void legend() {
    double x = kLeft;
    const double width = (chart_.width - kLeft - kRight) / static_cast<double>(chart_.series.size());
    for (const BarSeries& series : chart_.series) {
      svg_.rect(x, kTop - 26, 12, 12, fmt::format("fill=\"{}\"", series.color));
      svg_.text(x + 18, kTop - 16, series.label);
      x += width;
    }
  }

  const BarChart& chart_;
  Svg svg_;
  double high_, group_, bar_;
};

}  // namespace

std::string bar_chart_svg(const BarChart& chart) { return Bars(chart).svg(); }

}  // namespace synthesizer
