#include "core/report/alignment_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numeric>
#include <set>
#include <tuple>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/report/chart.h"
#include "core/report/heatmap.h"
#include "core/report/markup.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

// Okabe & Ito's colours, which the colour-blind tell apart.
constexpr std::string_view kColors[kSampleColors] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};

// One self-attention, in each sample that has it.
struct Place {
  std::string stack;
  int64_t layer = 0;
  bool operator==(const Place&) const = default;
  std::string title() const {
    std::string text = fmt::format("{}, layer {}", stack, layer + 1);
    text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
    return text;
  }
  std::string file_name() const { return fmt::format("{}_layer_{}", stack, layer + 1); }
};

using Found = std::vector<std::pair<const AlignmentSample*, const LayerAlignment*>>;

// Encoder before decoder, by layer.
std::vector<Place> places(const AlignmentReport& report) {
  std::vector<Place> all;
  for (const AlignmentSample& sample : report.samples)
    for (const LayerAlignment& alignment : sample.layers)
      if (const Place place{alignment.stack, alignment.layer}; std::count(all.begin(), all.end(), place) == 0)
        all.push_back(place);
  std::sort(all.begin(), all.end(),
            [](const Place& a, const Place& b) { return a.stack != b.stack ? a.stack > b.stack : a.layer < b.layer; });
  return all;
}

Found find(const AlignmentReport& report, const Place& place) {
  Found found;
  for (const AlignmentSample& sample : report.samples)
    for (const LayerAlignment& alignment : sample.layers)
      if (place == Place{alignment.stack, alignment.layer}) found.emplace_back(&sample, &alignment);
  return found;
}

std::string label(const AlignmentSample& sample) { return sample.run + " " + sample.moment; }

// For a file: letters, digits, "-" and "."; anything else is "_".
std::string slug(std::string text) {
  for (char& c : text)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '.') c = '_';
  return text;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string histogram_csv(const Found& found) {
  std::string csv = "low,high";
  for (const auto& [sample, alignment] : found) csv += "," + csv_field(label(*sample));
  csv += "\n";
  for (int bin = 0; bin < kWeightBins; ++bin) {
    csv += fmt::format("{:.9g},{:.9g}", weight_bin_low(bin), weight_bin_low(bin + 1));
    for (const auto& [sample, alignment] : found)
      csv += fmt::format(",{}", alignment->histogram[static_cast<size_t>(bin)]);
    csv += "\n";
  }
  return csv;
}

// The bins [first, last] outside of which no sample has a weight.
std::pair<int, int> used_bins(const Found& found) {
  int first = kWeightBins - 1, last = 0;
  for (const auto& [sample, alignment] : found)
    for (int bin = 0; bin < kWeightBins; ++bin)
      if (alignment->histogram[static_cast<size_t>(bin)] > 0) {
        first = std::min(first, bin);
        last = std::max(last, bin);
      }
  return {first, std::max(first, last)};
}

std::string histogram_svg(const Place& place, const Found& found) {
  const auto [first, last] = used_bins(found);
  Chart chart{place.title(), "alignment weight", "share of the weights in a bin", {}};
  chart.log_x = chart.legend_left = true;
  if (first == 0) chart.x_label += " (the leftmost bin: all below 1e-8)";
  const double lowest = first == 0 ? weight_bin_low(1) / std::pow(10, 0.1) : weight_bin_low(first);
  for (const auto& [sample, alignment] : found) {
    const auto& counts = alignment->histogram;
    const auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
    ChartSeries series{fmt::format("{}: {}, {}", alignment->attention, sample->run, sample->moment),
                       std::string(kColors[sample->color % kSampleColors]),
                       {{lowest, 0}},
                       sample->initial};
    for (int bin = first; bin <= last; ++bin) {
      const double share = total > 0 ? static_cast<double>(counts[static_cast<size_t>(bin)]) / total : 0;
      series.points.emplace_back(bin == first ? lowest : weight_bin_low(bin), share);
      series.points.emplace_back(weight_bin_low(bin + 1), share);
    }
    series.points.emplace_back(weight_bin_low(last + 1), 0);
    chart.series.push_back(std::move(series));
  }
  return chart_svg(chart);
}

std::string heatmap_csv(const LayerAlignment& alignment) {
  const int64_t length = alignment.length;
  std::string csv = "head,query";
  for (int64_t key = 1; key <= length; ++key) csv += fmt::format(",key_{}", key);
  csv += "\n";
  for (int64_t head = 0; head < alignment.heads; ++head)
    for (int64_t query = 0; query < length; ++query) {
      if (alignment.lives[static_cast<size_t>(query)] == 0) continue;
      csv += fmt::format("{},{}", head + 1, query + 1);
      for (int64_t key = 0; key < length; ++key)
        csv += fmt::format(",{:.9g}", alignment.mean[static_cast<size_t>((head * length + query) * length + key)]);
      csv += "\n";
    }
  return csv;
}

// The same for all samples of a place, so that their pictures can be compared: from a tenth of what every key has if
// all are looked at alike, to the largest weight.
std::pair<double, double> color_scale(const Found& found) {
  double low = 1, high = 0;
  for (const auto& [sample, alignment] : found) {
    low = std::min(low, 0.1 / static_cast<double>(alignment->length));
    high = std::max(high, *std::max_element(alignment->mean.begin(), alignment->mean.end()));
  }
  return {low, std::max(high, 20 * low)};
}

std::string heatmap_picture(const Place& place, const AlignmentSample& sample, const LayerAlignment& alignment,
                            const std::pair<double, double>& scale) {
  Heatmap map;
  map.title = fmt::format("{}: {}, {}, {}", place.title(), alignment.attention, sample.run, sample.moment);
  map.x_label = "key";
  map.y_label = "query";
  map.scale_label = "weight";
  map.rows = map.columns = alignment.length;
  std::tie(map.low, map.high) = scale;
  const auto cells = static_cast<size_t>(alignment.length * alignment.length);
  for (size_t head = 0; head < static_cast<size_t>(alignment.heads); ++head)
    map.panels.push_back({fmt::format("head {}", head + 1), std::span(alignment.mean).subspan(head * cells, cells)});
  return heatmap_svg(map);
}

// The two files of one name, and the HTML that shows them.
std::string write_picture(const fs::path& folder, const std::string& name, const std::string& svg,
                          const std::string& csv) {
  replace_text_file(folder / (name + ".svg"), svg);
  replace_text_file(folder / (name + ".csv"), csv);
  return fmt::format("<p><img src=\"{0}.svg\" alt=\"{0}\"><br><a href=\"{0}.csv\">{0}.csv</a></p>\n", escaped(name));
}

}  // namespace

void write_alignment_report(const fs::path& folder, const AlignmentReport& report) {
  std::set<std::string> names;
  for (const AlignmentSample& sample : report.samples)
    CHECK(names.insert(slug(label(sample))).second, "two samples are called '{}'", label(sample));
  std::string body;
  for (const std::string& line : report.about) body += fmt::format("<p>{}</p>\n", escaped(line));
  for (const Place& place : places(report)) {
    const Found found = find(report, place);
    const std::pair<double, double> scale = color_scale(found);
    body += fmt::format("<h2>{}</h2>\n", escaped(place.title()));
    body += write_picture(folder, "histogram_" + place.file_name(), histogram_svg(place, found), histogram_csv(found));
    for (const auto& [sample, alignment] : found)
      body += write_picture(folder, fmt::format("heatmap_{}_{}", place.file_name(), slug(label(*sample))),
                            heatmap_picture(place, *sample, *alignment, scale), heatmap_csv(*alignment));
  }
  replace_text_file(folder / "index.html", html_page("Alignment weights", body));
}

}  // namespace synthesizer
