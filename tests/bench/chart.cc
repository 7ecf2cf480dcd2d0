// Draws what the scripts of this folder measured, by the program's own chart writer: JSON on stdin, SVG on stdout.
//   lines  {"title", "x_label", "y_label", "log_x", "series": [{"label", "dashed", "points": [[x, y], …]}, …]}
//   bars   {"title", "y_label", "groups": ["…", …], "line", "series": [{"label", "values": [y or null, …]}, …]}
#include "core/report/chart.h"

#include <algorithm>
#include <array>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/report/bars.h"

namespace synthesizer {
namespace {

using nlohmann::json;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr std::array kColors = {"#1f5fa8", "#d9822b", "#3a923a", "#a23b72", "#777777", "#8c6d31"};

std::string lines(const json& in) {
  Chart chart{.title = in.at("title"), .x_label = in.at("x_label"), .y_label = in.at("y_label"), .series = {}};
  chart.log_x = in.value("log_x", false);
  chart.legend_left = true;
  for (const json& series : in.at("series"))
    chart.series.push_back({.label = series.at("label"),
                            .color = kColors[chart.series.size() % kColors.size()],
                            .points = series.at("points"),
                            .dashed = series.value("dashed", false),
                            .marked = true});
  return chart_svg(chart);
}

std::string bars(const json& in) {
  BarChart chart{.title = in.at("title"), .y_label = in.at("y_label"), .groups = in.at("groups"), .series = {}};
  chart.line = in.value("line", kNone);
  chart.width = std::max(chart.width, static_cast<int>(96 * chart.groups.size()));  // room for the groups' names
  for (const json& series : in.at("series")) {
    BarSeries drawn{series.at("label"), kColors[chart.series.size() % kColors.size()], {}};
    for (const json& value : series.at("values")) drawn.values.push_back(value.is_null() ? kNone : value.get<double>());
    chart.series.push_back(std::move(drawn));
  }
  return bar_chart_svg(chart);
}

}  // namespace
}  // namespace synthesizer

int main() {
  try {
    const nlohmann::json in = nlohmann::json::parse(std::cin);
    std::cout << (in.contains("groups") ? synthesizer::bars(in) : synthesizer::lines(in));
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "chart: " << error.what() << '\n';
    return 1;
  }
}
