// The alignment weights of one self-attention, as they were found on text: how they are distributed and, by head, where
// they lie.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace synthesizer {

// Weights below 1e-8 have one bin; from there to 1 ten a decade, equally wide in the logarithm.
inline constexpr int kWeightBins = 81;
// Bin `bin` has the weights in [weight_bin_low(bin), weight_bin_low(bin + 1)), the last one also 1 and what rounding
// puts above it.
double weight_bin_low(int bin);
int weight_bin(double weight);

// One self-attention. Queries and keys that are padding count nowhere, nor do keys that a query may not
// see.
struct LayerAlignment {
  std::string stack;      // "encoder", "decoder"
  int64_t layer = 0;      // 0: the first
  std::string attention;  // as the configuration has it: "R+V"
  int64_t heads = 0;
  int64_t length = 0;   // of queries and of keys
  bool shared = false;  // all examples have the same, which counts once
  std::array<int64_t, kWeightBins> histogram{};
  // Of each query, in how many examples it lives (shared: 1 if in any).
  std::vector<int64_t> lives;
  // [heads, length, length]: the mean over the examples in which the query lives; 0 where there are none.
  std::vector<double> mean;
};

}  // namespace synthesizer
