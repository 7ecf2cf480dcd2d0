#include "core/train/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"

namespace synthesizer {
namespace {

constexpr double kLeft = 64, kRight = 20, kTop = 40, kBottom = 52;

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

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else
      result += c;
  }
  return result;
}

class Plot {
 public:
  explicit Plot(const Chart& chart) : chart_(chart) {
    for (const ChartSeries& series : chart.series)
      for (const auto& [x, y] : series.points)
        if (std::isfinite(x) && std::isfinite(y)) {
          x_.add(x);
          y_.add(y);
        }
    CHECK(x_.low <= x_.high, "the chart '{}' has no points", chart.title);
    if (x_.low == x_.high) x_.widen(0);
    y_.widen(0.05);
  }

  std::string svg() {
    text_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
        chart_.width, chart_.height);
    text_ += fmt::format("<text x=\"{}\" y=\"22\" font-size=\"15\" text-anchor=\"middle\">{}</text>\n",
                         chart_.width / 2.0, escaped(chart_.title));
    axes();
    for (const ChartSeries& series : chart_.series) line(series);
    legend();
    return text_ + "</svg>\n";
  }

 private:
  double right() const { return chart_.width - kRight; }
  double bottom() const { return chart_.height - kBottom; }
  double at_x(double x) const { return kLeft + (x - x_.low) / (x_.high - x_.low) * (right() - kLeft); }
  double at_y(double y) const { return bottom() - (y - y_.low) / (y_.high - y_.low) * (bottom() - kTop); }

  void axes() {
    for (const double x : round_ticks(x_.low, x_.high, 8))
      text_ += fmt::format(
          "<path d=\"M{0:.1f} {1}V{2}\" stroke=\"#e4e4e4\"/><text x=\"{0:.1f}\" y=\"{3}\" "
          "text-anchor=\"middle\">{4:g}</text>\n",
          at_x(x), kTop, bottom(), bottom() + 18, x);
    for (const double y : round_ticks(y_.low, y_.high, 6))
      text_ += fmt::format(
          "<path d=\"M{1} {0:.1f}H{2}\" stroke=\"#e4e4e4\"/><text x=\"{3}\" y=\"{4:.1f}\" "
          "text-anchor=\"end\">{5:g}</text>\n",
          at_y(y), kLeft, right(), kLeft - 6, at_y(y) + 4, y);
    text_ +=
        fmt::format("<path d=\"M{0} {1}V{2}H{3}\" fill=\"none\" stroke=\"#555\"/>\n", kLeft, kTop, bottom(), right());
    text_ += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", (kLeft + right()) / 2,
                         chart_.height - 14, escaped(chart_.x_label));
    text_ += fmt::format("<text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                         (kTop + bottom()) / 2, escaped(chart_.y_label));
  }

  void line(const ChartSeries& series) {
    std::string path, dots;
    for (const auto& [x, y] : series.points) {
      if (!std::isfinite(x) || !std::isfinite(y)) continue;
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", at_x(x), at_y(y));
      if (series.marked)
        dots +=
            fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", at_x(x), at_y(y), series.color);
    }
    text_ += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\"{}/>\n{}", path, series.color,
                         series.dashed ? " stroke-dasharray=\"6 4\"" : "", dots);
  }

  void legend() {
    double y = kTop + 14;
    for (const ChartSeries& series : chart_.series) {
      text_ += fmt::format(
          "<path d=\"M{0} {1}h24\" stroke=\"{2}\" stroke-width=\"2\"{3}/><text x=\"{4}\" y=\"{5}\">{6}"
          "</text>\n",
          right() - 190, y - 4, series.color, series.dashed ? " stroke-dasharray=\"6 4\"" : "", right() - 160, y,
          escaped(series.label));
      y += 18;
    }
  }

  const Chart& chart_;
  Range x_, y_;
  std::string text_;
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

std::string chart_svg(const Chart& chart) { return Plot(chart).svg(); }

}  // namespace synthesizer
