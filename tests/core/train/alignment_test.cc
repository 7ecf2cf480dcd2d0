#include "core/train/alignment.h"

#include <gmock/gmock.h>

#include <fstream>
#include <limits>
#include <sstream>

#include "core/base/error.h"
#include "core/checkpoint/tensor_summary.h"
#include "core/report/alignment_report.h"
#include "core/report/chart.h"
#include "core/report/heatmap.h"
#include "core/report/svg.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(WeightBins, EveryWeightIsInItsBin) {
  EXPECT_EQ(weight_bin(0), 0);
  EXPECT_EQ(weight_bin(9.9e-9), 0);
  EXPECT_EQ(weight_bin(1), kWeightBins - 1);
  EXPECT_EQ(weight_bin(1.0000001), kWeightBins - 1);
  EXPECT_EQ(weight_bin_low(kWeightBins), 1);
  for (int bin = 1; bin < kWeightBins; ++bin) {
    const double low = weight_bin_low(bin), high = weight_bin_low(bin + 1);
    EXPECT_EQ(weight_bin(low), bin);
    EXPECT_EQ(weight_bin(std::nextafter(high, 0)), bin);
    EXPECT_NEAR(high / low, std::pow(10, 0.1), 1e-12);
  }
}

TEST(Chart, DecadesHaveTicks) {
  EXPECT_THAT(decade_ticks(2e-4, 1, 10), ElementsAre(1e-3, 1e-2, 1e-1, 1));
  EXPECT_THAT(decade_ticks(1e-8, 1, 4), ElementsAre(1e-6, 1e-3, 1));
  EXPECT_EQ(tick_text(1e-6), "1e-6");
  EXPECT_EQ(tick_text(0.05), "0.05");
  EXPECT_EQ(tick_text(200), "200");
}

TEST(Heatmap, DrawsWhatIsWithinTheScaleAndSaysHowLargeItsCellsAre) {
  const std::vector<double> small = {1, 0.1, 0, 1e-5};
  const Heatmap map{"a < b", "key", "query", "weight", 2, 2, {{"head 1", small}}, 1e-4, 1};
  const std::string svg = heatmap_svg(map);
  EXPECT_THAT(svg, HasSubstr("a &lt; b"));
  EXPECT_THAT(svg, HasSubstr("M0 0.5h1"));
  EXPECT_THAT(svg, HasSubstr("M1 0.5h1"));
  EXPECT_THAT(svg, Not(HasSubstr("M0 1.5h")));  // below the scale
  EXPECT_THAT(svg, Not(HasSubstr("means of")));

  const std::vector<double> large(200 * 200, 0.5);
  const std::string blocks = heatmap_svg({"t", "x", "y", "w", 200, 200, {{"", large}}, 1e-4, 1});
  EXPECT_THAT(blocks, HasSubstr("means of 3 × 3"));
  EXPECT_THAT(blocks, HasSubstr("M0 66.5h67"));
  EXPECT_THROW(heatmap_svg({"t", "x", "y", "w", 0, 0, {}, 1e-4, 1}), Error);
}

// Brightness must fall all the way, or two weights look alike.
TEST(Heatmap, ColoursDarkenSteadily) {
  EXPECT_EQ(heat_color(0), "#ffffff");
  double before = 256;
  for (double share = 0; share <= 1; share += 1.0 / 64) {
    const std::string color = heat_color(share);
    const auto channel = [&](size_t at) { return std::stoi(color.substr(at, 2), nullptr, 16); };
    const double brightness = 0.30 * channel(1) + 0.59 * channel(3) + 0.11 * channel(5);
    EXPECT_LT(brightness, before) << share;
    before = brightness;
  }
}

TEST(TensorSummary, CountsWhatIsNotFiniteApart) {
  const TemporaryFolder folder;
  const std::vector<float> values = {3, -4, std::numeric_limits<float>::infinity(),
                                     std::numeric_limits<float>::quiet_NaN()};
  const SafetensorsLayout layout({{"x", StoredType::kF32, {2, 2}}}, {});
  std::ofstream file(folder / "x.safetensors", std::ios::binary);
  file << layout.header();
  file.write(reinterpret_cast<const char*>(values.data()), 16);
  file.close();
  const SafetensorsReader reader(folder / "x.safetensors");
  const TensorSummary summary = summarize(reader, reader.at("x"));
  EXPECT_EQ(summary.elements, 4);
  EXPECT_EQ(summary.nonfinite, 2);
  EXPECT_EQ(summary.norm, 5);
  EXPECT_EQ(summary.least, -4);
  EXPECT_EQ(summary.most, 3);
}

LayerAlignment sample_alignment() {
  LayerAlignment alignment{.stack = "encoder", .layer = 4, .attention = "R"};
  alignment.heads = 1;
  alignment.length = 2;
  alignment.lives = {1, 0};
  alignment.mean = {0.25, 0.75, 0, 0};
  ++alignment.histogram[static_cast<size_t>(weight_bin(0.25))];
  ++alignment.histogram[static_cast<size_t>(weight_bin(0.75))];
  return alignment;
}

TEST(AlignmentReport, NamesFilesAndRowsByWhatTheyAre) {
  const TemporaryFolder folder;
  write_alignment_report(folder.path(), {{"About <it>."}, {{"a, b", "step 5", false, 0, {sample_alignment()}}}});
  const auto read = [&](const std::string& name) {
    std::stringstream text;
    text << std::ifstream(folder / name).rdbuf();
    return text.str();
  };
  EXPECT_EQ(read("heatmap_encoder_layer_5_a__b_step_5.csv"), "head,query,key_1,key_2\n1,1,0.25,0.75\n");
  EXPECT_THAT(read("histogram_encoder_layer_5.csv"), testing::StartsWith("low,high,\"a, b step 5\"\n0,1e-08,0\n"));
  EXPECT_THAT(read("histogram_encoder_layer_5.csv"), HasSubstr("0.794328235,1,0\n"));
  EXPECT_THAT(read("index.html"), HasSubstr("About &lt;it&gt;."));
  EXPECT_THAT(read("index.html"), HasSubstr("Encoder, layer 5"));
  EXPECT_THAT(read("histogram_encoder_layer_5.svg"), HasSubstr("R: a, b, step 5"));
  EXPECT_THROW(write_alignment_report(folder.path(), {{}, {{"a", "b", false, 0, {}}, {"a", "b", true, 0, {}}}}), Error);
}

}  // namespace
}  // namespace synthesizer
