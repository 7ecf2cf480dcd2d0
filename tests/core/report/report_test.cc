#include "core/report/report.h"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "core/base/error.h"
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
