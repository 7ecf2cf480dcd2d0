#include "core/report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/report/svg.h"

namespace synthesizer {
namespace {

constexpr double kLeft = 64, kRight = 20, kTop = 40, kBottom = 52;
constexpr std::string_view kGridLine = "stroke=\"#e4e4e4\"";
constexpr double kLegendWidth = 190, kLegendMargin = 14;

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void widen(double share) {
    const double space = high > low ? (high - low) * share : 1;
    low -= space;
    high += space;
  }
};

std::string_view dashes(const ChartSeries& series) { return series.dashed ? " stroke-dasharray=\"6 4\"" : ""; }

class Plot {
 public:
  explicit Plot(const Chart& chart) : chart_(chart), svg_(chart.width, chart.height) {
    for (const ChartSeries& series : chart.series)
      for (const auto& [x, y] : series.points)
        if (is_drawn(x, y)) {
          x_.add(scaled(x));
          y_.add(y);
        }
    CHECK(x_.low <= x_.high, "the chart '{}' has no points", chart.title);
    if (x_.low == x_.high) x_.widen(0);
    y_.widen(0.05);
  }

  std::string svg() {
    draw_title(svg_, chart_.width, chart_.title);
    axes();
    for (const ChartSeries& series : chart_.series) line(series);
    legend();
    return svg_.finish();
  }

 private:
  // x as it is spread over the width.
  double scaled(double x) const { return chart_.log_x ? std::log10(x) : x; }
  bool is_drawn(double x, double y) const { return std::isfinite(x) && std::isfinite(y) && (!chart_.log_x || x > 0); }
  double right() const { return chart_.width - kRight; }
  double bottom() const { return chart_.height - kBottom; }
  double at_x(double x) const { return kLeft + (scaled(x) - x_.low) / (x_.high - x_.low) * (right() - kLeft); }
  double at_y(double y) const { return bottom() - (y - y_.low) / (y_.high - y_.low) * (bottom() - kTop); }

  std::vector<double> ticks_x() const {
    if (chart_.log_x) return decade_ticks(std::pow(10, x_.low), std::pow(10, x_.high), 10);
    return round_ticks(x_.low, x_.high, 8);
  }

  void axes() {
    for (const double x : ticks_x()) {
      svg_.path(fmt::format("M{:.1f} {}V{}", at_x(x), kTop, bottom()), kGridLine);
      svg_.text(at_x(x), bottom() + 18, tick_text(x), Anchor::kMiddle);
    }
    for (const double y : round_ticks(y_.low, y_.high, 6)) {
      svg_.path(fmt::format("M{} {:.1f}H{}", kLeft, at_y(y), right()), kGridLine);
      svg_.text(kLeft - 6, at_y(y) + 4, tick_text(y), Anchor::kEnd);
    }
    svg_.path(fmt::format("M{} {}V{}H{}", kLeft, kTop, bottom(), right()), "fill=\"none\" stroke=\"#555\"");
    svg_.text((kLeft + right()) / 2, chart_.height - 14, chart_.x_label, Anchor::kMiddle);
    svg_.upright_text(16, (kTop + bottom()) / 2, chart_.y_label);
  }

  void line(const ChartSeries& series) {
    std::string path;
    for (const auto& [x, y] : series.points)
      if (is_drawn(x, y)) path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", at_x(x), at_y(y));
    svg_.path(path, fmt::format("fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\"{}", series.color, dashes(series)));
    if (!series.marked) return;
    for (const auto& [x, y] : series.points)
      if (is_drawn(x, y)) svg_.circle(at_x(x), at_y(y), 3, series.color);
  }

  void legend() {
    const double x = chart_.legend_left ? kLeft + kLegendMargin : right() - kLegendWidth;
    double y = kTop + 14;
    for (const ChartSeries& series : chart_.series) {
      svg_.path(fmt::format("M{} {}h24", x, y - 4),
                fmt::format("stroke=\"{}\" stroke-width=\"2\"{}", series.color, dashes(series)));
      svg_.text(x + 30, y, series.label);
      y += 18;
    }
  }

  const Chart& chart_;
  Range x_, y_;
  Svg svg_;
};

}  // namespace

std::vector<double> round_ticks(double low, double high, int count) {
  const double rough = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough * 0.99) {
      step = factor * power;
      break;
    }
  std::vector<double> ticks;
  for (double index = std::ceil(low / step - 1e-9); index * step <= high + 1e-9 * step; ++index)
    ticks.push_back(index == 0 ? 0 : index * step);
  return ticks;
}

std::vector<double> decade_ticks(double low, double high, int count) {
  const auto first = static_cast<int>(std::ceil(std::log10(low) - 1e-9));
  const auto last = static_cast<int>(std::floor(std::log10(high) + 1e-9));
  const int step = std::max(1, (last - first + count) / count);
  std::vector<double> ticks;
  // From the highest down, so that 1 has its tick.
  for (int power = last; power >= first; power -= step) ticks.push_back(std::pow(10, power));
  std::reverse(ticks.begin(), ticks.end());
  return ticks;
}

std::string chart_svg(const Chart& chart) { return Plot(chart).svg(); }

}  // namespace synthesizer
