// A picture as SVG text: shapes and words at pixels, y downwards. What is drawn is chart.h's and heatmap.h's.
#pragma once

#include <string>
#include <string_view>

namespace synthesizer {

enum class Anchor { kStart, kMiddle, kEnd };

class Svg {
 public:
  Svg(double width, double height);

  // `attributes` as SVG has them: R"(fill="none" stroke="red")".
  void path(std::string_view data, std::string_view attributes);
  void rect(double x, double y, double width, double height, std::string_view attributes);
  void circle(double x, double y, double radius, std::string_view fill);
  void text(double x, double y, std::string_view words, Anchor anchor = Anchor::kStart, int size = 12);
  // Read from below.
  void upright_text(double x, double y, std::string_view words);

  // Shapes up to end_group() are in units of `scale` pixels from (x, y), with sharp edges: cells that touch leave no
  // gap.
  void begin_group(double x, double y, double scale_x, double scale_y);
  void end_group();

  // The whole picture; nothing is added after it.
  std::string finish();

 private:
  std::string text_;
};

// The title, in the middle at the top.
void draw_title(Svg& svg, double width, std::string_view title);

// A number for a tick, short: "200", "0.05", "1e-6".
std::string tick_text(double value);

}  // namespace synthesizer
