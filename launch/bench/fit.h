// Figures from measurements: what a few terms that add up cost each.
#pragma once

#include <span>
#include <vector>

namespace synthesizer {

struct Sample {
  std::vector<double> terms;  // how much of each
  double value = 0;           // measured, above 0
};

// The costs x ≥ 0 of the terms for which Σᵢ |terms·x / value − 1| is least: relative errors, so that small samples
// count too, and not their squares, so that single disturbed ones do not. Every sample has as many terms as the first.
std::vector<double> fit_costs(std::span<const Sample> samples);

// The value at which half of the weight lies below. Throws Error if there are none.
struct Weighted {
  double value, weight;
};
double weighted_median(std::vector<Weighted> values);

}  // namespace synthesizer
