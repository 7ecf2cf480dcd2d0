#include "core/report/svg.h"

#include <fmt/format.h>

#include "core/report/markup.h"

namespace synthesizer {
namespace {

constexpr int kTextSize = 12;

std::string_view name_of(Anchor anchor) {
  return anchor == Anchor::kStart ? "start" : anchor == Anchor::kMiddle ? "middle" : "end";
}

// Pixels to a tenth: finer is not seen, and the file is shorter.
std::string pixels(double value) {
  const std::string text = fmt::format("{:.1f}", value);
  return text.ends_with(".0") ? text.substr(0, text.size() - 2) : text;
}

}  // namespace

Svg::Svg(double width, double height)
    : text_(fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
                        "{1}\" font-family=\"sans-serif\" font-size=\"{2}\">\n",
                        pixels(width), pixels(height), kTextSize)) {
  rect(0, 0, width, height, "fill=\"white\"");
}

void Svg::path(std::string_view data, std::string_view attributes) {
  text_ += fmt::format("<path d=\"{}\" {}/>\n", data, attributes);
}

void Svg::rect(double x, double y, double width, double height, std::string_view attributes) {
  text_ += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {}/>\n", pixels(x), pixels(y), pixels(width),
                       pixels(height), attributes);
}

void Svg::circle(double x, double y, double radius, std::string_view fill) {
  text_ += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{:g}\" fill=\"{}\"/>\n", pixels(x), pixels(y), radius, fill);
}

void Svg::text(double x, double y, std::string_view words, Anchor anchor, int size) {
  text_ += fmt::format("<text x=\"{}\" y=\"{}\"", pixels(x), pixels(y));
  if (size != kTextSize) text_ += fmt::format(" font-size=\"{}\"", size);
  if (anchor != Anchor::kStart) text_ += fmt::format(" text-anchor=\"{}\"", name_of(anchor));
  text_ += fmt::format(">{}</text>\n", escaped(words));
}

void Svg::upright_text(double x, double y, std::string_view words) {
  text_ += fmt::format("<text transform=\"translate({} {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n", pixels(x),
                       pixels(y), escaped(words));
}

void Svg::begin_group(double x, double y, double scale_x, double scale_y) {
  text_ += fmt::format("<g shape-rendering=\"crispEdges\" transform=\"translate({} {}) scale({:.6g} {:.6g})\">\n",
                       pixels(x), pixels(y), scale_x, scale_y);
}

void Svg::end_group() { text_ += "</g>\n"; }

std::string Svg::finish() { return std::move(text_) + "</svg>\n"; }

void draw_title(Svg& svg, double width, std::string_view title) { svg.text(width / 2, 22, title, Anchor::kMiddle, 15); }

std::string tick_text(double value) {
  std::string text = fmt::format("{:g}", value);
  if (const size_t zero = text.find("e-0"); zero != std::string::npos) text.erase(zero + 2, 1);
  return text;
}

}  // namespace synthesizer
