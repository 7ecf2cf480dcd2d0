// What a batch becomes in a program's inputs.
#include "core/train/train_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/kernels/cpu/cpu_kernels.h"

namespace synthesizer {
namespace {

using ::testing::DoubleNear;
using ::testing::Pointwise;

constexpr int64_t kLengthOfRow = 8;

// The negative log-likelihoods of a decoder's targets, one row or several, in float64.
std::vector<double> nll(const std::string& kind, bool packed, std::vector<int32_t> decoder_inputs,
                        std::vector<int32_t> targets, std::vector<int32_t> segments) {
  StepGraphOptions options;
  options.model = {
      .structure = Structure::kDecoder, .vocab = 20, .d_model = 8, .d_ff = 12, .num_heads = 2, .d_head = 4};
  options.model.decoder_layers = 2;
  options.model.decoder = {.kind = kind, .max_length = kLengthOfRow};
  options.shape = {.batch = static_cast<int64_t>(targets.size()) / kLengthOfRow, .target_length = kLengthOfRow};
  options.dtype = DType::kFloat64;
  options.packed = packed;
  const auto graph = evaluation_graph(options, nullptr);
  StateStore store(*graph);
  store.initialize(5);
  const CpuKernelTable kernels(1);
  Program program(*graph, kernels, {}, store);
  const std::vector<float> weights(targets.size(), 1);
  feed(program, {.decoder_inputs = decoder_inputs,
                 .targets = targets,
                 .weights = weights,
                 .denominator = 1,
                 .segments = segments});
  program.run();
  const auto values = program.output<double>("nll");
  return {values.begin(), values.end()};
}

TEST(Feed, GivesPackedRowsTheirDocumentsAndPositions) {
  for (const std::string kind : {"R", "D+V", "LightConv"}) {
    SCOPED_TRACE(kind);
    const std::vector<double> packed =
        nll(kind, true, {0, 7, 8, 0, 9, 4, 0, 0}, {7, 8, 1, 9, 4, 1, 0, 0}, {1, 1, 1, 2, 2, 2, 0, 0});
    const std::vector<double> alone = nll(kind, false, {0, 7, 8, 0, 0, 0, 0, 0, 0, 9, 4, 0, 0, 0, 0, 0},
                                          {7, 8, 1, 0, 0, 0, 0, 0, 9, 4, 1, 0, 0, 0, 0, 0}, {});
    const std::vector<double> got(packed.begin(), packed.begin() + 6);
    std::vector<double> expected(alone.begin(), alone.begin() + 3);
    expected.insert(expected.end(), alone.begin() + 8, alone.begin() + 11);
    EXPECT_THAT(got, Pointwise(DoubleNear(1e-12), expected));
    // Without segments a row is one document.
    EXPECT_THAT(nll(kind, true, {0, 7, 8, 3, 2, 5, 5, 1}, {7, 8, 3, 2, 5, 5, 1, 1}, {}),
                Pointwise(DoubleNear(1e-12), nll(kind, false, {0, 7, 8, 3, 2, 5, 5, 1}, {7, 8, 3, 2, 5, 5, 1, 1}, {})));
  }
}

}  // namespace
}  // namespace synthesizer
