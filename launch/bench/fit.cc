#include "launch/bench/fit.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace synthesizer {
namespace {

constexpr int kReweighings = 60, kSweeps = 300;
constexpr double kLeastError = 1e-4;  // below which a sample gets no more weight

using Rows = std::vector<std::vector<double>>;

double product(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// min Σ w (row·x − 1)², x ≥ 0: along one coordinate after the other.
void descend(const Rows& rows, const std::vector<double>& weights, std::vector<double>& x) {
  const size_t terms = x.size();
  Rows normal(terms, std::vector<double>(terms, 0));
  std::vector<double> right(terms, 0);
  for (size_t s = 0; s < rows.size(); ++s)
    for (size_t i = 0; i < terms; ++i) {
      right[i] += weights[s] * rows[s][i];
      for (size_t j = 0; j < terms; ++j) normal[i][j] += weights[s] * rows[s][i] * rows[s][j];
    }
  for (int sweep = 0; sweep < kSweeps; ++sweep)
    for (size_t i = 0; i < terms; ++i)
      if (normal[i][i] > 0) x[i] = std::max(0.0, x[i] + (right[i] - product(normal[i], x)) / normal[i][i]);
}

}  // namespace

// Least absolute errors by least squares, each sample weighted by one over its last error.
std::vector<double> fit_costs(std::span<const Sample> samples) {
  CHECK(!samples.empty(), "a fit of no samples");
  Rows rows;
  for (const Sample& sample : samples) {
    CHECK(sample.value > 0 && sample.terms.size() == samples[0].terms.size(), "a sample of {}", sample.value);
    std::vector<double>& row = rows.emplace_back(sample.terms);
    for (double& term : row) term /= sample.value;
  }
  std::vector<double> x(samples[0].terms.size(), 0), weights(rows.size(), 1);
  for (int i = 0; i < kReweighings; ++i) {
    descend(rows, weights, x);
    for (size_t s = 0; s < rows.size(); ++s) weights[s] = 1 / std::max(kLeastError, std::abs(product(rows[s], x) - 1));
  }
  return x;
}

double weighted_median(std::vector<Weighted> values) {
  CHECK(!values.empty(), "the median of nothing");
  std::sort(values.begin(), values.end(), [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
  double all = 0;
  for (const Weighted& value : values) all += value.weight;
  double below = 0;
  for (const Weighted& value : values)
    if (below += value.weight; 2 * below >= all) return value.value;
  return values.back().value;
}

}  // namespace synthesizer
