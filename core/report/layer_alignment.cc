#include "core/report/layer_alignment.h"

#include <algorithm>
#include <cmath>

namespace synthesizer {
namespace {

constexpr int kBinsPerDecade = 10;
constexpr int kDecades = (kWeightBins - 1) / kBinsPerDecade;

const std::array<double, kWeightBins + 1>& bin_edges() {
  static const auto edges = [] {
    std::array<double, kWeightBins + 1> low{};
    for (int bin = 1; bin <= kWeightBins; ++bin)
      low[static_cast<size_t>(bin)] = std::pow(10, static_cast<double>(bin - 1) / kBinsPerDecade - kDecades);
    return low;
  }();
  return edges;
}

}  // namespace

double weight_bin_low(int bin) { return bin_edges()[static_cast<size_t>(bin)]; }

int weight_bin(double weight) {
  const auto& low = bin_edges();
  if (weight < low[1]) return 0;
  // The logarithm may be off by a rounding; the edges decide.
  auto bin = static_cast<size_t>(
      std::clamp(static_cast<int>((std::log10(weight) + kDecades) * kBinsPerDecade) + 1, 1, kWeightBins - 1));
  if (weight < low[bin]) --bin;
  if (bin + 1 < kWeightBins && weight >= low[bin + 1]) ++bin;
  return static_cast<int>(bin);
}

}  // namespace synthesizer
