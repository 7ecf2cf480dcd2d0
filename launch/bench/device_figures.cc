#include "launch/bench/device_figures.h"

#include <algorithm>
#include <limits>
#include <map>

#include "core/base/error.h"
#include "launch/bench/fit.h"

namespace synthesizer {
namespace {

constexpr int64_t kTinyBytes = 1 << 10;   // an op of so few bytes is all start
constexpr int64_t kLargeBytes = 1 << 20;  // one of so many streams

// Of the nodes that `is` takes, by weight.
template <typename Is, typename Of>
double median(std::span<const NodeSeconds> nodes, const Is& is, const Of& of, const char* what) {
  std::vector<Weighted> values;
  for (const NodeSeconds& node : nodes)
    if (is(node)) values.push_back(of(node));
  CHECK(!values.empty(), "no measured op shows {}", what);
  return weighted_median(std::move(values));
}

config::Products& products_of(config::Products::Precision precision, config::Device& device) {
  for (config::Products& products : *device.mutable_products())
    if (products.precision() == precision) return products;
  config::Products& products = *device.add_products();
  products.set_precision(precision);
  return products;
}

constexpr double kMostHalf = 1e6;  // that a device file may have

// t · peak / flops = (1 + a/m + b/n + c/k) / reached
void set_products(std::span<const NodeSeconds> nodes, double peak, double start, config::Products& products) {
  std::vector<Sample> samples;
  for (const NodeSeconds& node : nodes) {
    const double seconds = node.seconds - start;
    if (node.op != "einsum" || seconds < 4 * start || node.size.m < 2 || node.size.n < 2 || node.size.k < 2) continue;
    const double speed = static_cast<double>(node.cost.flops) / seconds;
    samples.push_back({{1, 1 / node.size.m, 1 / node.size.n, 1 / node.size.k}, 1 / speed});
  }
  const std::vector<double> x = fit_costs(samples);  // seconds an operation
  products.set_peak(peak);
  const double whole = std::max(x[0], 1 / peak);  // no product is faster than the peak
  products.set_reached(std::min(1.0, 1 / (whole * peak)));
  products.set_half_rows(std::min(kMostHalf, x[1] / whole));
  products.set_half_columns(std::min(kMostHalf, x[2] / whole));
  products.set_half_depth(std::min(kMostHalf, x[3] / whole));
}

}  // namespace

void set_kernel_figures(std::span<const NodeSeconds> nodes, double peak, config::Device& device) {
  const auto bytes = [](const NodeSeconds& node) { return static_cast<double>(node.cost.bytes); };
  const double start = median(
      nodes, [](const NodeSeconds& node) { return node.cost.bytes < kTinyBytes; },
      [](const NodeSeconds& node) {
        return Weighted{node.seconds, 1};
      },
      "what starting an op takes");
  const double bandwidth = median(
      nodes, [&](const NodeSeconds& node) { return node.op == "add" && node.cost.bytes > kLargeBytes; },
      [&](const NodeSeconds& node) {
        return Weighted{bytes(node) / (node.seconds - start), node.seconds};
      },
      "the memory's bandwidth");
  double vector_flops = 0;
  for (const NodeSeconds& node : nodes)
    if (node.size.m == 0 && node.seconds > 4 * start)
      vector_flops = std::max(vector_flops, static_cast<double>(node.cost.flops) / (node.seconds - start));
  device.set_op_seconds(start);
  device.set_memory_bandwidth(bandwidth);
  device.set_vector_flops(vector_flops);
  config::Products& products = products_of(config::Products::FP32, device);
  set_products(nodes, peak, start, products);

  const ProductRate rate{products.peak(), products.reached(), products.half_rows(), products.half_columns(),
                         products.half_depth()};
  std::map<std::string, std::vector<Weighted>> slowdowns;
  for (const NodeSeconds& node : nodes) {
    const auto flops = static_cast<double>(node.cost.flops);
    const double compute =
        node.size.m > 0 ? rate.seconds(flops, node.size.m, node.size.n, node.size.k) : flops / vector_flops;
    const double roofline = std::max(compute, bytes(node) / bandwidth);
    if (roofline > start && node.seconds > start)
      slowdowns[node.op].push_back({(node.seconds - start) / roofline, roofline});
  }
  device.clear_slowdown();
  for (auto& [op, values] : slowdowns) {
    if (op == "einsum") continue;  // the products' own figures have it
    config::Slowdown& slowdown = *device.add_slowdown();
    slowdown.set_op(op);
    slowdown.set_times(weighted_median(std::move(values)));
  }
}

void set_product_figures(std::span<const NodeSeconds> nodes, double peak, config::Products::Precision precision,
                         config::Device& device) {
  set_products(nodes, peak, device.op_seconds(), products_of(precision, device));
}

void set_link_figures(std::span<const CollectiveSeconds> calls, config::Link& link) {
  std::vector<Sample> samples;
  for (const CollectiveSeconds& call : calls) {
    const auto with = [&](const LinkRate& rate) {
      return collective_seconds(call.kind, call.block_bytes, call.ranks, rate, CollectiveSteps::kDirect);
    };
    constexpr double kEndless = std::numeric_limits<double>::infinity();
    samples.push_back({{with({1, kEndless}), with({0, 1})}, call.seconds});
  }
  const std::vector<double> x = fit_costs(samples);
  link.set_latency(x[0]);
  link.set_bandwidth(1 / std::max(x[1], 1e-15));
}

}  // namespace synthesizer
