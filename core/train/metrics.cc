#include "core/train/metrics.h"

#include <fcntl.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace synthesizer {
namespace {

std::string number_text(double value) { return std::isfinite(value) ? fmt::format("{:.9g}", value) : "null"; }

// The step of a line, or -1 if it is not a JSON object with one.
int64_t step_of(std::string_view line) {
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) return -1;
  return json["step"].get<int64_t>();
}

// The file's whole lines up to this step. UsageError for a line that is none of metrics, but for a torn last one.
std::string lines_until(const std::filesystem::path& path, int64_t step) {
  const std::string text = read_text_file(path);
  std::string kept;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t newline = text.find('\n', begin);
    const size_t end = newline == std::string::npos ? text.size() : newline + 1;
    const std::string line = text.substr(begin, end - begin);
    const bool torn = newline == std::string::npos;
    const int64_t of_line = torn ? -1 : step_of(line);
    ++number;
    if (of_line < 0 && end < text.size())
      fail_usage("{}: line {} is not a JSON object with a step; repair or remove the line", path.string(), number);
    if (of_line >= 0 && of_line <= step) kept += line;
    begin = end;
  }
  return kept;
}

}  // namespace

NamedValues named_values(const TrainingMetrics& metrics) {
  return {{"loss", metrics.loss},
          {"log_perplexity", metrics.log_perplexity},
          {"learning_rate", metrics.learning_rate},
          {"gradient_norm", metrics.gradient_norm},
          {"seconds", metrics.seconds},
          {"tokens_per_second", metrics.tokens_per_second},
          {"model_flop_utilisation", metrics.model_flop_utilisation},
          {"memory_bytes", static_cast<double>(metrics.memory_bytes)}};
}

MetricsWriter::MetricsWriter(const std::filesystem::path& path) : file_(path, O_WRONLY | O_CREAT | O_APPEND) {}

void MetricsWriter::write(const TrainingMetrics& metrics) { write_line(metrics.step, named_values(metrics)); }

void MetricsWriter::write(const SkippedStep& skipped) {
  write_line(skipped.step, {{"skipped_in_a_row", static_cast<double>(skipped.in_a_row)}});
}

void MetricsWriter::write(const ValidationMetrics& metrics) {
  for (const auto& [name, value] : metrics.values)
    CHECK(name != "loss" && name != "step", "a validation line of step {} with a field {}", metrics.step, name);
  write_line(metrics.step, metrics.values);
}

void MetricsWriter::write_line(int64_t step, const NamedValues& values) {
  std::string line = fmt::format("{{\"step\":{}", step);
  for (const auto& [name, value] : values) {
    // Bytes are counted exactly; everything else is a measurement.
    const std::string text = name == "memory_bytes" ? fmt::format("{:.0f}", value) : number_text(value);
    line += fmt::format(",{}:{}", nlohmann::json(name).dump(), text);
  }
  file_.append(line + "}\n");
}

void check_metrics(const std::filesystem::path& path) {
  as_input([&] {
    if (!std::filesystem::exists(path)) return;
    if (!std::filesystem::is_regular_file(path))
      fail_usage("{}: not a file, so no metrics can be written to it. Move it away, or give another --run",
                 path.string());
    const File file(path, O_WRONLY | O_APPEND);
    lines_until(path, std::numeric_limits<int64_t>::max());
  });
}

void truncate_metrics(const std::filesystem::path& path, int64_t step) {
  if (!std::filesystem::exists(path)) return;
  if (const std::string kept = lines_until(path, step); kept != read_text_file(path)) replace_text_file(path, kept);
}

}  // namespace synthesizer
