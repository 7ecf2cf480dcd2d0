// Device figures from times that are known: what the fits give back.
#include "launch/bench/device_figures.h"

#include <gmock/gmock.h>

#include "launch/bench/fit.h"
#include "launch/config/device.h"

namespace synthesizer {
namespace {

TEST(Fit, FindsTheCostsUnderDisturbedSamples) {
  std::vector<Sample> samples;
  for (int i = 1; i <= 20; ++i)
    for (int j = 1; j <= 5; ++j) {
      const std::vector<double> terms = {1, static_cast<double>(i), 10.0 / j};
      const bool disturbed = (i + j) % 4 == 0;
      samples.push_back({terms, (2e-6 + 3e-6 * terms[1] + 5e-6 * terms[2]) * (disturbed ? 3 : 1)});
    }
  const std::vector<double> costs = fit_costs(samples);
  EXPECT_NEAR(costs[0], 2e-6, 1e-8);
  EXPECT_NEAR(costs[1], 3e-6, 1e-8);
  EXPECT_NEAR(costs[2], 5e-6, 1e-8);
}

TEST(Fit, NoCostIsNegative) {
  const std::vector<Sample> samples = {{{1, 1}, 1}, {{1, 2}, 0.9}, {{1, 3}, 0.8}};
  const std::vector<double> costs = fit_costs(samples);
  EXPECT_GE(costs[1], 0);
  EXPECT_NEAR(costs[0], 0.9, 0.05);
}

TEST(Fit, TheWeightedMedianIsWhereHalfTheWeightIs) {
  EXPECT_EQ(weighted_median({{5, 1}, {1, 1}, {3, 1}}), 3);
  EXPECT_EQ(weighted_median({{5, 10}, {1, 1}, {3, 1}}), 5);
}

// Nodes of a machine of known figures.
std::vector<NodeSeconds> nodes_of(const ProductRate& rate, double bandwidth, double start) {
  std::vector<NodeSeconds> nodes;
  for (const double m : {16.0, 64.0, 512.0, 2048.0})
    for (const double n : {32.0, 512.0})
      for (const double k : {64.0, 1024.0}) {
        const Cost cost{static_cast<int64_t>(2 * m * n * k), static_cast<int64_t>(4 * (m * k + k * n + m * n))};
        nodes.push_back({"einsum", cost, {m, n, k}, start + rate.seconds(2 * m * n * k, m, n, k)});
      }
  nodes.push_back({"divide", {1, 12}, {}, start});
  for (const int64_t bytes : {3 << 20, 30 << 20})
    nodes.push_back({"add", {bytes / 12, bytes}, {}, start + static_cast<double>(bytes) / bandwidth});
  nodes.push_back({"adamw", {17 << 20, 28 << 20}, {}, start + (28 << 20) / bandwidth});
  nodes.push_back({"softmax", {4 << 20, 8 << 20}, {}, start + 2.5 * (8 << 20) / bandwidth});
  return nodes;
}

TEST(DeviceFigures, AreThoseOfTheMachineThatWasMeasured) {
  const ProductRate rate{.peak = 1e11, .reached = 0.8, .half_rows = 12, .half_columns = 20, .half_depth = 30};
  config::Device device = load_device("cpu");
  set_kernel_figures(nodes_of(rate, 2e10, 1e-7), 1e11, device);
  const DeviceRates found = device_for(device, config::Run::FP32);
  EXPECT_NEAR(found.op_seconds, 1e-7, 1e-12);
  EXPECT_NEAR(found.memory_bandwidth, 2e10, 2e4);
  EXPECT_NEAR(found.products.peak, 1e11, 1);
  EXPECT_NEAR(found.products.reached, 0.8, 1e-3);
  EXPECT_NEAR(found.products.half_rows, 12, 0.1);
  EXPECT_NEAR(found.products.half_columns, 20, 0.1);
  EXPECT_NEAR(found.products.half_depth, 30, 0.1);
  EXPECT_NEAR(found.slowdown_of("softmax"), 2.5, 1e-3);
  EXPECT_NEAR(found.slowdown_of("add"), 1, 1e-3);
  EXPECT_EQ(found.slowdown_of("divide"), 1);  // too small to show one
  parse_device(device_text(device, "whole"), "measured");
}

TEST(DeviceFigures, OtherPrecisionsHaveProductsOfTheirOwn) {
  const ProductRate wide{.peak = 1e11, .reached = 0.8, .half_rows = 12, .half_columns = 20, .half_depth = 30};
  const ProductRate narrow{.peak = 2e11, .reached = 0.7, .half_rows = 24, .half_columns = 40, .half_depth = 60};
  config::Device device = load_device("cpu");
  set_kernel_figures(nodes_of(wide, 2e10, 1e-7), 1e11, device);
  set_product_figures(nodes_of(narrow, 2e10, 1e-7), 2e11, config::Products::BF16, device);
  const DeviceRates found = device_for(device, config::Run::BF16);
  EXPECT_NEAR(found.products.peak, 2e11, 1);
  EXPECT_NEAR(found.products.reached, 0.7, 1e-3);
  EXPECT_NEAR(found.products.half_rows, 24, 0.1);
  EXPECT_NEAR(found.memory_bandwidth, 2e10, 2e4);
  EXPECT_NEAR(device_for(device, config::Run::FP32).products.peak, 1e11, 1);
}

TEST(DeviceFigures, LinksGiveBackLatencyAndBandwidth) {
  const LinkRate rate{3e-5, 2e9};
  std::vector<CollectiveSeconds> calls;
  for (int64_t bytes = 4096; bytes <= 64 << 20; bytes *= 4)
    calls.push_back({Collective::kAllReduce, bytes, 4,
                     collective_seconds(Collective::kAllReduce, bytes, 4, rate, CollectiveSteps::kDirect)});
  config::Link link;
  set_link_figures(calls, link);
  EXPECT_NEAR(link.latency(), 3e-5, 1e-8);
  EXPECT_NEAR(link.bandwidth(), 2e9, 2e6);
}

}  // namespace
}  // namespace synthesizer
