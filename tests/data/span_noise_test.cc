#include "data/span_noise.h"

#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <numeric>

#include "data/causal.h"
#include "tests/data/support.h"

namespace synthesizer {
namespace {

using ::testing::HasSubstr;
using testing::usage_error;

constexpr Vocabulary kT5{.pieces = 32000};

// P(first part = k) of a uniform composition of `items` into `parts`: C(items - 1 - k, parts - 2) / C(items - 1, parts
// - 1).
double part_probability(int64_t items, int64_t parts, int64_t k) {
  const auto log_choose = [](int64_t n, int64_t r) {
    return std::lgamma(static_cast<double>(n + 1)) - std::lgamma(static_cast<double>(r + 1)) -
           std::lgamma(static_cast<double>(n - r + 1));
  };
  if (items - 1 - k < parts - 2) return 0;
  return std::exp(log_choose(items - 1 - k, parts - 2) - log_choose(items - 1, parts - 1));
}

// Pearson's statistic in units of its standard deviation above its mean; cells below 5 expected are merged into one.
double chi_square_excess(const std::map<int64_t, int64_t>& counts, int64_t samples, int64_t cells,
                         const std::function<double(int64_t)>& probability) {
  double statistic = 0;
  double rest_expected = static_cast<double>(samples);
  double rest_observed = static_cast<double>(samples);
  int64_t used = 0;
  for (int64_t cell = 1; cell <= cells; ++cell) {
    const double expected = probability(cell) * static_cast<double>(samples);
    if (expected < 5) continue;
    const double observed = counts.contains(cell) ? static_cast<double>(counts.at(cell)) : 0.0;
    statistic += (observed - expected) * (observed - expected) / expected;
    rest_expected -= expected;
    rest_observed -= observed;
    ++used;
  }
  if (rest_expected >= 5) {
    statistic += (rest_observed - rest_expected) * (rest_observed - rest_expected) / rest_expected;
    ++used;
  }
  const double freedom = static_cast<double>(used - 1);
  return (statistic - freedom) / std::sqrt(2 * freedom);
}

// The segments of one example, read off its inputs and targets; checks that they are the window's tokens.
struct Segments {
  std::vector<int64_t> kept;
  std::vector<int64_t> noise;
};

Segments segments_of(std::span<const int32_t> window, std::span<const int32_t> inputs, std::span<const int32_t> targets,
                     const Vocabulary& vocabulary, int64_t spans) {
  Segments segments;
  std::vector<int32_t> joined;
  size_t input = 0;
  size_t target = 0;
  for (int64_t span = 0; span < spans; ++span) {
    const int32_t sentinel = vocabulary.sentinel(static_cast<int32_t>(span));
    const size_t kept_begin = input;
    while (inputs[input] != sentinel) joined.push_back(inputs[input++]);
    segments.kept.push_back(static_cast<int64_t>(input - kept_begin));
    ++input;
    EXPECT_EQ(targets[target], sentinel);
    const size_t noise_begin = ++target;
    while (!vocabulary.is_sentinel(targets[target]) && targets[target] != vocabulary.eos) {
      joined.push_back(targets[target++]);
    }
    segments.noise.push_back(static_cast<int64_t>(target - noise_begin));
  }
  EXPECT_EQ(inputs[input], vocabulary.eos);
  EXPECT_EQ(targets[target], vocabulary.eos);
  EXPECT_EQ(input + 1, inputs.size());
  EXPECT_EQ(target + 1, targets.size());
  EXPECT_TRUE(std::equal(joined.begin(), joined.end(), window.begin(), window.end()));
  return segments;
}

std::vector<int32_t> make_window(int64_t length) {
  std::vector<int32_t> window(static_cast<size_t>(length));
  std::iota(window.begin(), window.end(), 3);  // no eos, no sentinel
  return window;
}

TEST(SpanNoise, HasT5sSizesForEveryLength) {
  struct Row {
    int64_t input, raw, used, target, noise, spans;
  };
  // T5's random_spans_helper: input length asked for -> window, inputs used, targets, noise tokens, spans.
  const Row rows[] = {{16, 17, 16, 5, 3, 1},
                      {31, 33, 31, 8, 5, 2},
                      {33, 35, 33, 8, 5, 2},
                      {64, 70, 64, 14, 10, 3},
                      {100, 110, 100, 22, 16, 5},
                      {128, 141, 128, 29, 21, 7},
                      {255, 282, 255, 57, 42, 14},
                      {256, 284, 256, 58, 43, 14},
                      {511, 567, 511, 114, 85, 28},
                      {512, 568, 512, 114, 85, 28},
                      {513, 569, 513, 114, 85, 28},
                      {1000, 1110, 1000, 222, 166, 55},
                      {1024, 1137, 1024, 229, 171, 57},
                      {2048, 2274, 2048, 456, 341, 114}};
  for (const Row& row : rows) {
    const SpanNoiseSizes sizes = span_noise_sizes_for_inputs(row.input, 0.15, 3.0);
    EXPECT_EQ(sizes.raw_length, row.raw) << row.input;
    EXPECT_EQ(sizes.input_length(), row.used) << row.input;
    EXPECT_EQ(sizes.target_length(), row.target) << row.input;
    EXPECT_EQ(sizes.noise_tokens, row.noise) << row.input;
    EXPECT_EQ(sizes.spans, row.spans) << row.input;
  }
  for (int64_t length = 3; length < 600; ++length) {
    EXPECT_LE(span_noise_sizes_for_inputs(length, 0.15, 3.0).input_length(), length);
  }
}

// Over 10^5 windows: every example has 85 noise tokens in 28 spans, the first segment is kept, and segments at the
// beginning, in the middle and at the end have the lengths of a uniform random composition.
TEST(SpanNoise, IsAUniformCompositionOverManyWindows) {
  const SpanNoiseSizes sizes = span_noise_sizes_for_inputs(512, 0.15, 3.0);
  const std::vector<int32_t> window = make_window(sizes.raw_length);
  std::vector<int32_t> inputs(512);
  std::vector<int32_t> targets(114);
  const size_t places[] = {0, 13, 27};
  std::map<int64_t, int64_t> kept[3];
  std::map<int64_t, int64_t> noise[3];
  constexpr int64_t kWindows = 100'000;
  for (int64_t n = 0; n < kWindows; ++n) {
    make_span_noise(window, sizes, kT5, {.seed = 7, .epoch = n % 3, .example = n}, inputs, targets);
    const Segments segments = segments_of(window, inputs, targets, kT5, 28);
    ASSERT_EQ(std::accumulate(segments.noise.begin(), segments.noise.end(), int64_t{0}), 85);
    ASSERT_GE(*std::min_element(segments.noise.begin(), segments.noise.end()), 1);
    ASSERT_GE(*std::min_element(segments.kept.begin(), segments.kept.end()), 1);
    for (size_t i = 0; i < 3; ++i) {
      ++kept[i][segments.kept[places[i]]];
      ++noise[i][segments.noise[places[i]]];
    }
  }
  for (size_t i = 0; i < 3; ++i) {
    // By symmetry every part has the first one's distribution. Four standard deviations: about 1 in 10^4, with a fixed
    // seed.
    EXPECT_LT(
        std::abs(chi_square_excess(noise[i], kWindows, 85, [](int64_t k) { return part_probability(85, 28, k); })), 4)
        << "noise segment " << places[i];
    EXPECT_LT(
        std::abs(chi_square_excess(kept[i], kWindows, 483, [](int64_t k) { return part_probability(483, 28, k); })), 4)
        << "kept segment " << places[i];
  }
}

// The joint distribution where all compositions can be listed: 7 into 3 parts, 15 of them.
TEST(RandomComposition, GivesEveryCompositionEquallyOften) {
  std::map<int64_t, int64_t> counts;
  constexpr int64_t kSamples = 90'000;
  for (int64_t n = 0; n < kSamples; ++n) {
    RandomComposition composition(7, 3, RandomStream({.seed = 3, .epoch = 0, .example = n}, 5));
    const int64_t a = composition.next();
    const int64_t b = composition.next();
    ASSERT_EQ(a + b + composition.next(), 7);
    // Compositions in order of (a, b), from 1.
    int64_t index = b;
    for (int64_t smaller = 1; smaller < a; ++smaller) index += 6 - smaller;
    ++counts[index];
  }
  EXPECT_EQ(counts.size(), 15u);
  EXPECT_LT(std::abs(chi_square_excess(counts, kSamples, 15, [](int64_t) { return 1.0 / 15; })), 4);
}

TEST(SpanNoise, IsAFunctionOfSeedEpochAndExample) {
  const SpanNoiseSizes sizes = span_noise_sizes_for_inputs(64, 0.15, 3.0);
  const std::vector<int32_t> window = make_window(sizes.raw_length);
  const auto inputs_of = [&](const ExampleKey& key) {
    std::vector<int32_t> inputs(64);
    std::vector<int32_t> targets(14);
    make_span_noise(window, sizes, kT5, key, inputs, targets);
    return inputs;
  };
  const auto base = inputs_of({1, 2, 3});
  EXPECT_EQ(inputs_of({1, 2, 3}), base);
  EXPECT_NE(inputs_of({2, 2, 3}), base);
  EXPECT_NE(inputs_of({1, 3, 3}), base);
  EXPECT_NE(inputs_of({1, 2, 4}), base);
  EXPECT_NE(inputs_of({1, 2, 3 + (int64_t{1} << 32)}), base);
}

struct Row {
  std::vector<int32_t> inputs, decoder_inputs, targets, segments;
  std::vector<float> weights;
  explicit Row(const Objective& objective)
      : inputs(static_cast<size_t>(objective.input_length()), -1),
        decoder_inputs(static_cast<size_t>(objective.target_length()), -1),
        targets(decoder_inputs),
        segments(static_cast<size_t>(objective.segments_length()), -1),
        weights(targets.size(), -1) {}
  ExampleRow view() { return {inputs, decoder_inputs, targets, weights, segments}; }
};

TEST(Objective, MakesSpanDenoisingRows) {
  const Objective objective({.input_length = 512, .target_length = 120}, kT5);
  EXPECT_EQ(objective.raw_length(), 568);
  EXPECT_EQ(objective.live_targets(), 114);
  Row row(objective);
  objective.make(make_window(568), {1, 0, 0}, row.view());
  EXPECT_EQ(row.targets[113], 1);
  EXPECT_EQ(row.targets[114], 0);
  EXPECT_EQ(row.decoder_inputs[0], 0);
  EXPECT_TRUE(std::equal(row.targets.begin(), row.targets.end() - 1, row.decoder_inputs.begin() + 1));
  EXPECT_EQ(std::accumulate(row.weights.begin(), row.weights.end(), 0.0f), 114.0f);
  EXPECT_EQ(row.weights[113], 1.0f);
  EXPECT_EQ(row.weights[114], 0.0f);
}

TEST(Objective, MakesCausalRows) {
  const Objective objective({.kind = ObjectiveKind::kCausal, .input_length = 0, .target_length = 33}, kT5);
  EXPECT_EQ(objective.raw_length(), 33);
  Row row(objective);
  const std::vector<int32_t> window = make_window(33);
  objective.make(window, {1, 0, 0}, row.view());
  EXPECT_EQ(row.targets, window);
  EXPECT_EQ(row.decoder_inputs[0], 0);
  EXPECT_TRUE(std::equal(window.begin(), window.end() - 1, row.decoder_inputs.begin() + 1));
  EXPECT_EQ(std::accumulate(row.weights.begin(), row.weights.end(), 0.0f), 33.0f);
}

TEST(Objective, PartsTheDocumentsOfPackedRows) {
  const Objective objective({.kind = ObjectiveKind::kCausal, .input_length = 0, .target_length = 8, .packed = true},
                            kT5);
  Row row(objective);
  objective.make(std::vector<int32_t>{7, 8, 1, 9, 1, 1, 5, 6}, {1, 0, 0}, row.view());
  EXPECT_EQ(row.targets, (std::vector<int32_t>{7, 8, 1, 9, 1, 1, 5, 6}));
  EXPECT_EQ(row.decoder_inputs, (std::vector<int32_t>{0, 7, 8, 0, 9, 0, 0, 5}));
  EXPECT_EQ(row.segments, (std::vector<int32_t>{1, 1, 1, 2, 2, 3, 4, 4}));

  objective.make(std::vector<int32_t>{7, 1, 9, 1}, {1, 0, 0}, row.view());
  EXPECT_EQ(row.decoder_inputs, (std::vector<int32_t>{0, 7, 0, 9, 1, 0, 0, 0}));
  EXPECT_EQ(row.segments, (std::vector<int32_t>{1, 1, 2, 2, 0, 0, 0, 0}));
  EXPECT_EQ(row.weights, (std::vector<float>{1, 1, 1, 1, 0, 0, 0, 0}));

  objective.make_filler(row.view());
  EXPECT_EQ(row.segments, std::vector<int32_t>(8, 1));
  EXPECT_EQ(row.weights, std::vector<float>(8, 0));
}

TEST(Objective, AShortTextLeavesPadding) {
  const Objective denoising({.input_length = 512, .target_length = 120}, kT5);
  Row row(denoising);
  denoising.make(make_window(10), {1, 0, 0}, row.view());
  // 2 tokens of 10 are noise, in one span: 8 kept, sentinel, eos; sentinel, 2, eos.
  EXPECT_EQ(std::count_if(row.inputs.begin(), row.inputs.begin() + 10, [](int32_t id) { return id > 0; }), 10);
  EXPECT_EQ(row.inputs[9], 1);
  EXPECT_EQ(std::count(row.inputs.begin() + 10, row.inputs.end(), 0), 502);
  EXPECT_EQ(row.targets[3], 1);
  EXPECT_EQ(std::count(row.targets.begin() + 4, row.targets.end(), 0), 116);
  EXPECT_EQ(std::accumulate(row.weights.begin(), row.weights.begin() + 4, 0.0f), 4.0f);
  EXPECT_EQ(std::count(row.weights.begin() + 4, row.weights.end(), 0.0f), 116);

  const Objective causal({.kind = ObjectiveKind::kCausal, .input_length = 0, .target_length = 33}, kT5);
  Row next(causal);
  const std::vector<int32_t> window = make_window(5);
  causal.make(window, {1, 0, 0}, next.view());
  EXPECT_TRUE(std::equal(window.begin(), window.end(), next.targets.begin()));
  EXPECT_EQ(std::count(next.targets.begin() + 5, next.targets.end(), 0), 28);
  EXPECT_EQ(std::accumulate(next.weights.begin(), next.weights.end(), 0.0f), 5.0f);
}

TEST(Objective, RefusesLengthsThatCannotBe) {
  const auto error = [](const ObjectiveOptions& options, Vocabulary vocabulary = kT5) {
    return usage_error([&] { Objective(options, vocabulary); });
  };
  EXPECT_THAT(error({.input_length = 512, .target_length = 113}), HasSubstr("expected at least 114"));
  EXPECT_THAT(error({.input_length = 2}), HasSubstr("expected at least 3"));
  EXPECT_THAT(error({.noise_density = 1}), HasSubstr("noise_density"));
  EXPECT_THAT(error({.mean_span_length = 0}), HasSubstr("mean_span_length"));
  EXPECT_THAT(error({.sentinels = -1}), HasSubstr("sentinels"));
  EXPECT_THAT(error({.input_length = 2048, .sentinels = 0}, {.pieces = 100}), HasSubstr("114 spans"));
  EXPECT_THAT(error({.kind = ObjectiveKind::kCausal, .target_length = 8}), HasSubstr("expected 0 for a causal"));
  EXPECT_THAT(error({.kind = ObjectiveKind::kCausal, .input_length = 0}), HasSubstr("target_length"));
  EXPECT_THAT(error({.packed = true}), HasSubstr("packed rows: got span denoising"));
}

}  // namespace
}  // namespace synthesizer
