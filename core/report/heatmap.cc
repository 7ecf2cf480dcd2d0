#include "core/report/heatmap.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "core/base/error.h"
#include "core/report/chart.h"
#include "core/report/svg.h"

namespace synthesizer {
namespace {

constexpr int64_t kMostCells = 96;  // a side of a panel
constexpr int kLevels = 64;         // of colour
constexpr double kPanel = 192;      // pixels a side
constexpr double kLeft = 62, kTop = 62, kGapX = 40, kGapY = 52, kBottom = 52, kScaleGap = 34, kScaleWidth = 14,
                 kRight = 62;
constexpr size_t kMostPanelsInRow = 4;
constexpr int kTicks = 6;

class Drawing {
 public:
  explicit Drawing(const Heatmap& heatmap)
      : map_(heatmap),
        in_row_(std::min(heatmap.panels.size(), kMostPanelsInRow)),
        lines_((heatmap.panels.size() + in_row_ - 1) / in_row_),
        block_((std::max(heatmap.rows, heatmap.columns) + kMostCells - 1) / kMostCells),
        width_(kLeft + static_cast<double>(in_row_) * (kPanel + kGapX) - kGapX + kScaleGap + kScaleWidth + kRight),
        height_(kTop + static_cast<double>(lines_) * (kPanel + kGapY) - kGapY + kBottom),
        svg_(width_, height_) {}

  std::string svg() {
    std::string title = map_.title;
    if (block_ > 1) title += fmt::format(" (means of {0} × {0})", block_);
    draw_title(svg_, width_, title);
    for (size_t i = 0; i < map_.panels.size(); ++i) panel(i);
    scale();
    svg_.text((kLeft + right()) / 2, height_ - 12, map_.x_label, Anchor::kMiddle);
    svg_.upright_text(18, (kTop + bottom()) / 2, map_.y_label);
    return svg_.finish();
  }

 private:
  double right() const { return width_ - kScaleGap - kScaleWidth - kRight; }
  double bottom() const { return height_ - kBottom; }

  // 0 to kLevels − 1; −1 for what is below the scale, where nothing is drawn.
  int level(double value) const {
    if (!(value >= map_.low)) return -1;
    const double share = std::log(value / map_.low) / std::log(map_.high / map_.low);
    return std::min(kLevels - 1, static_cast<int>(share * kLevels));
  }
  static std::string color(int level) { return heat_color((level + 0.5) / kLevels); }

  double block_mean(const HeatmapPanel& panel, int64_t row, int64_t column) const {
    const int64_t row_end = std::min(map_.rows, (row + 1) * block_);
    const int64_t column_end = std::min(map_.columns, (column + 1) * block_);
    double sum = 0;
    for (int64_t r = row * block_; r < row_end; ++r)
      for (int64_t c = column * block_; c < column_end; ++c)
        sum += panel.values[static_cast<size_t>(r * map_.columns + c)];
    return sum / static_cast<double>((row_end - row * block_) * (column_end - column * block_));
  }

  // One path a colour, of lines a cell thick: short text for many cells.
  void cells(const HeatmapPanel& panel, int64_t rows, int64_t columns) {
    std::map<int, std::string> paths;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns;) {
        const int of_run = level(block_mean(panel, row, column));
        int64_t end = column + 1;
        while (end < columns && level(block_mean(panel, row, end)) == of_run) ++end;
        if (of_run >= 0) paths[of_run] += fmt::format("M{} {}.5h{}", column, row, end - column);
        column = end;
      }
    for (const auto& [of_path, data] : paths) svg_.path(data, fmt::format("stroke=\"{}\"", color(of_path)));
  }

  void panel(size_t index) {
    const HeatmapPanel& panel = map_.panels[index];
    CHECK(panel.values.size() == static_cast<size_t>(map_.rows * map_.columns), "{} values for {} × {}",
          panel.values.size(), map_.rows, map_.columns);
    const double x = kLeft + static_cast<double>(index % in_row_) * (kPanel + kGapX);
    const double y = kTop + static_cast<double>(index / in_row_) * (kPanel + kGapY);
    const int64_t rows = (map_.rows + block_ - 1) / block_, columns = (map_.columns + block_ - 1) / block_;
    svg_.begin_group(x, y, kPanel / static_cast<double>(columns), kPanel / static_cast<double>(rows));
    cells(panel, rows, columns);
    svg_.end_group();
    svg_.rect(x, y, kPanel, kPanel, "fill=\"none\" stroke=\"#555\"");
    svg_.text(x + kPanel / 2, y - 8, panel.title, Anchor::kMiddle);
    ticks(x, y);
  }

  // At the middle of the cell that has the position.
  void ticks(double x, double y) {
    const auto at = [](double position, int64_t size) { return (position - 0.5) / static_cast<double>(size) * kPanel; };
    for (const double position : round_ticks(1, static_cast<double>(map_.columns), kTicks)) {
      const double tick = x + at(position, map_.columns);
      svg_.path(fmt::format("M{:.1f} {}v4", tick, y + kPanel), "stroke=\"#555\"");
      svg_.text(tick, y + kPanel + 17, tick_text(position), Anchor::kMiddle);
    }
    for (const double position : round_ticks(1, static_cast<double>(map_.rows), kTicks)) {
      const double tick = y + at(position, map_.rows);
      svg_.path(fmt::format("M{} {:.1f}h-4", x, tick), "stroke=\"#555\"");
      svg_.text(x - 6, tick + 4, tick_text(position), Anchor::kEnd);
    }
  }

  // Decades; where they are few also 2 and 5 times each.
  std::vector<double> scale_ticks() const {
    const std::vector<double> decades = decade_ticks(map_.low, map_.high, 8);
    if (decades.size() > 3) return decades;
    std::vector<double> ticks;
    for (const double decade : decade_ticks(map_.low / 10, map_.high, 8))
      for (const double factor : {1, 2, 5})
        if (const double value = decade * factor; value >= map_.low && value <= map_.high) ticks.push_back(value);
    return ticks;
  }

  void scale() {
    const double x = right() + kScaleGap, y = kTop, height = kPanel;
    for (int i = 0; i < kLevels; ++i)
      svg_.rect(x, y + height * (kLevels - 1 - i) / kLevels, kScaleWidth, height / kLevels + 0.1,
                fmt::format("fill=\"{}\"", color(i)));
    svg_.rect(x, y, kScaleWidth, height, "fill=\"none\" stroke=\"#555\"");
    for (const double value : scale_ticks()) {
      const double tick = y + height * (1 - std::log(value / map_.low) / std::log(map_.high / map_.low));
      svg_.path(fmt::format("M{} {:.1f}h4", x + kScaleWidth, tick), "stroke=\"#555\"");
      svg_.text(x + kScaleWidth + 7, tick + 4, tick_text(value));
    }
    svg_.text(x + kScaleWidth, y - 8, map_.scale_label, Anchor::kMiddle);
  }

  const Heatmap& map_;
  size_t in_row_, lines_;
  int64_t block_;  // matrix rows and columns that one cell stands for
  double width_, height_;
  Svg svg_;
};

}  // namespace

std::string heat_color(double share) {
  constexpr double kStart = 3.2, kRotations = -0.6, kHue = 1.4;
  const double light = 1 - 0.92 * std::clamp(share, 0.0, 1.0);
  const double angle = 2 * std::numbers::pi * (kStart / 3 + 1 + kRotations * light);
  const double reach = kHue * light * (1 - light) / 2;
  const auto channel = [&](double of_cos, double of_sin) {
    const double value = light + reach * (of_cos * std::cos(angle) + of_sin * std::sin(angle));
    return static_cast<int>(std::lround(255 * std::clamp(value, 0.0, 1.0)));
  };
  return fmt::format("#{:02x}{:02x}{:02x}", channel(-0.14861, 1.78277), channel(-0.29227, -0.90649),
                     channel(1.97294, 0));
}

std::string heatmap_svg(const Heatmap& heatmap) {
  CHECK(!heatmap.panels.empty() && heatmap.rows > 0 && heatmap.columns > 0, "the heatmap '{}' has no cells",
        heatmap.title);
  return Drawing(heatmap).svg();
}

}  // namespace synthesizer
