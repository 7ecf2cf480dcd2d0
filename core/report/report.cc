#include "core/report/report.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/report/chart.h"
#include "core/report/markup.h"

namespace synthesizer {
namespace {

using Json = nlohmann::json;

std::vector<Json> read_lines(const std::filesystem::path& path) {
  std::ifstream in(path);
  if (!in) fail_usage("[report] cannot read {}", path.string());
  std::vector<Json> lines;
  std::string text;
  for (int64_t number = 1; std::getline(in, text); ++number) {
    lines.push_back(Json::parse(text, nullptr, false));
    if (!lines.back().is_object() || !lines.back().contains("step"))
      fail_usage("[report] {} line {}: expected a JSON object with a step", path.string(), number);
  }
  return lines;
}

// (step, field) of every line that has the field as a number.
ChartSeries series_of(const std::vector<Json>& lines, const std::string& field, const std::string& label,
                      const std::string& color) {
  ChartSeries series{label, color, {}, false, false};
  for (const Json& line : lines)
    if (line.contains(field) && line[field].is_number())
      series.points.emplace_back(line["step"].get<double>(), line[field].get<double>());
  return series;
}

std::string curve(const std::vector<Json>& lines, const std::string& title) {
  Chart chart{title, "step", "cross entropy, nats a token", {}};
  ChartSeries training = series_of(lines, "log_perplexity", "training", "#9db7d5");
  ChartSeries validation = series_of(lines, "validation_loss", "validation", "#c0392b");
  validation.marked = true;
  ChartSeries entropy = series_of(lines, "unigram_entropy", "unigram entropy", "#555");
  entropy.dashed = true;
  for (ChartSeries* series : {&training, &validation, &entropy})
    if (!series->points.empty()) chart.series.push_back(std::move(*series));
  return chart_svg(chart);
}

// The fields of the last line that has `field`, as table rows.
std::string last_figures(const std::vector<Json>& lines, const std::string& field) {
  for (size_t i = lines.size(); i-- > 0;) {
    if (!lines[i].contains(field)) continue;
    std::string rows;
    for (const auto& [key, value] : lines[i].items())
      rows += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escaped(key), escaped(value.dump()));
    return rows;
  }
  return "";
}

}  // namespace

void write_report(const std::filesystem::path& folder, const std::string& config) {
  const std::vector<Json> lines = read_lines(folder / "metrics.jsonl");
  const std::string title = std::filesystem::absolute(folder).lexically_normal().filename().string();
  const std::string body = fmt::format(
      "{}<h2>Last training step logged</h2>\n<table>\n{}</table>\n<h2>Last validation</h2>\n<table>\n{}</table>\n"
      "<h2>Configuration</h2>\n<pre>{}</pre>\n",
      curve(lines, title), last_figures(lines, "loss"), last_figures(lines, "validation_loss"), escaped(config));
  replace_text_file(folder / "report.html", html_page(title, body));
}

}  // namespace synthesizer
