#include "core/report/report.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "core/base/error.h"
#include "core/report/bars.h"
#include "core/report/chart.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Chart, TicksAreRoundAndWithin) {
  EXPECT_THAT(round_ticks(0, 1000, 8), ElementsAre(0, 200, 400, 600, 800, 1000));
  EXPECT_THAT(round_ticks(4.3, 9.1, 5), ElementsAre(5, 6, 7, 8, 9));
}

TEST(Chart, DrawsEachSeriesAndEscapesItsText) {
  const std::string svg = chart_svg({"a < b", "x", "y", {{"one & two", "red", {{0, 1}, {10, 5}}, true, true}}});
  EXPECT_THAT(svg, HasSubstr("a &lt; b"));
  EXPECT_THAT(svg, HasSubstr("one &amp; two"));
  EXPECT_THAT(svg, HasSubstr("stroke-dasharray"));
  EXPECT_THAT(svg, HasSubstr("<circle"));
  EXPECT_THROW(chart_svg({"empty", "x", "y", {}}), Error);
}

TEST(Bars, AreAsHighAsTheirValues) {
  const std::string svg = bar_chart_svg({.title = "t",
                                         .y_label = "y",
                                         .groups = {"V", "R & V"},
                                         .series = {{"ours", "red", {1, 2}}, {"peer", "blue", {4, std::nan("")}}},
                                         .line = 1.5});
  EXPECT_THAT(svg, HasSubstr("R &amp; V"));
  EXPECT_THAT(svg, HasSubstr("stroke-dasharray"));
  std::map<std::string, std::vector<double>> heights;  // by colour, the legend's first
  static const std::regex rect("height=\"([0-9.]+)\" fill=\"(red|blue)\"");
  for (std::sregex_iterator it(svg.begin(), svg.end(), rect), end; it != end; ++it)
    heights[(*it)[2]].push_back(std::stod((*it)[1]));
  ASSERT_EQ(heights["red"].size(), 3u);
  ASSERT_EQ(heights["blue"].size(), 2u) << "no bar for what is not there";
  std::sort(heights["red"].begin(), heights["red"].end());
  EXPECT_NEAR(heights["red"][2] / heights["red"][1], 2, 0.01);
  EXPECT_NEAR(*std::max_element(heights["blue"].begin(), heights["blue"].end()) / heights["red"][1], 4, 0.01);
  EXPECT_THROW(bar_chart_svg({.title = "none", .groups = {"V"}, .series = {{"a", "red", {std::nan("")}}}}), Error);
  EXPECT_THROW(bar_chart_svg({.title = "few", .groups = {"V"}, .series = {{"a", "red", {}}}}), Error);
}

TEST(Report, ShowsCurvesFiguresAndConfiguration) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "metrics.jsonl")
      << "{\"step\":0,\"validation_loss\":9.5,\"unigram_entropy\":6.5}\n"
         "{\"step\":10,\"loss\":8.25,\"log_perplexity\":8.125,\"gradient_norm\":null}\n"
         "{\"step\":20,\"loss\":7.25,\"log_perplexity\":7.125,\"gradient_norm\":2}\n"
         "{\"step\":20,\"validation_loss\":7.5,\"unigram_entropy\":6.5}\n";
  write_report(folder.path(), "model { vocab < 5 }");
  std::stringstream html;
  html << std::ifstream(folder.path() / "report.html").rdbuf();
  EXPECT_THAT(html.str(), HasSubstr("unigram entropy"));
  EXPECT_THAT(html.str(), HasSubstr("<td>loss</td><td>7.25</td>"));
  EXPECT_THAT(html.str(), HasSubstr("<td>validation_loss</td><td>7.5</td>"));
  EXPECT_THAT(html.str(), HasSubstr("model { vocab &lt; 5 }"));
  EXPECT_THAT(html.str(), Not(HasSubstr("<td>8.25</td>")));
}

TEST(Report, NamesTheLineThatIsNotMetrics) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "metrics.jsonl") << "{\"step\":0,\"validation_loss\":9.5}\nnonsense\n";
  try {
    write_report(folder.path(), "");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("line 2"));
  }
}

}  // namespace
}  // namespace synthesizer
