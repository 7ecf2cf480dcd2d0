#include "core/optim/adafactor.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

namespace synthesizer {
namespace {

int64_t elements_of(const Shape& shape, const DimNames& dims) {
  int64_t count = 1;
  for (const std::string& dim : dims) count *= shape.size(dim);
  return count;
}

Shape without(Shape shape, const DimNames& dims) {
  for (const std::string& dim : dims) shape = shape.without(dim);
  return shape;
}

Value optimizer_state(Value parameter, const std::string& part, const Shape& shape) {
  return state(parameter.graph(), parameter.node().name + ".adafactor." + part, parameter.dtype(), shape, {});
}

// decay · before + (1 − decay) · (mean square + epsilon1), the mean over `count` elements of a sum of squares; the new
// state.
Value moving_mean(Value before, Value sum, int64_t count, const AdafactorStep& step, const AdafactorOptions& options) {
  Value mean = sum * (1.0 / static_cast<double>(count));
  if (step.scale) mean = mean * square(step.scale);
  const Value fresh = affine(mean, 1, options.epsilon1);
  const Value now = before * step.decay + fresh * affine(step.decay, -1, 1);
  assign(before, now, step.apply);
  return now;
}

Value root_mean_square(Value x, Value squares) {
  return sqrt(squares * (1.0 / static_cast<double>(x.shape().elements())));
}

// gradient / sqrt(second moment), whole or factored.
Value normalized(Value parameter, Value gradient, const SquaredSums& sums, const AdafactorStep& step,
                 const AdafactorOptions& options) {
  const Shape& shape = parameter.shape();
  const FactoredPair& pair = sums.pair;
  const auto scaled = [&](Value x) { return step.scale ? x * step.scale : x; };
  if (pair.rows.empty()) {
    const Value before = optimizer_state(parameter, "second", shape);
    const Value squares = square(gradient);
    return scaled(gradient) * rsqrt(moving_mean(before, squares, 1, step, options));
  }
  const Value rows_before = optimizer_state(parameter, "row", without(shape, pair.columns));
  const Value columns_before = optimizer_state(parameter, "column", without(shape, pair.rows));
  const Value rows = moving_mean(rows_before, sums.rows, elements_of(shape, pair.columns), step, options);
  const Value columns = moving_mean(columns_before, sums.columns, elements_of(shape, pair.rows), step, options);
  const Value row_factor = scaled(rsqrt(rows / reduce_mean(rows, pair.rows)));  // the scale goes with the small one
  return gradient * row_factor * rsqrt(columns);
}

}  // namespace

FactoredPair factored_pair(const Shape& shape, int64_t min_factored) {
  static const FactoredPair declared[] = {
      {{"model"}, {"heads", "head"}}, {{"ff"}, {"model"}}, {{"vocab"}, {"model"}}, {{"position"}, {"memory_position"}}};
  for (const FactoredPair& pair : declared) {
    const auto has = [&](const std::string& dim) { return shape.has(dim); };
    if (!std::all_of(pair.rows.begin(), pair.rows.end(), has)) continue;
    if (!std::all_of(pair.columns.begin(), pair.columns.end(), has)) continue;
    if (elements_of(shape, pair.rows) >= min_factored && elements_of(shape, pair.columns) >= min_factored) return pair;
  }
  return {};
}

double second_moment_decay(const AdafactorOptions& options, int64_t step) {
  return 1.0 - std::pow(static_cast<double>(step) + 1.0, options.decay_exponent);
}

SquaredSums squared_sums(Value gradient, const AdafactorOptions& options) {
  SquaredSums sums;
  sums.pair = factored_pair(gradient.shape(), options.min_factored);
  if (sums.pair.rows.empty()) {
    sums.total = sum_squares(gradient);
    return sums;
  }
  sums.rows = sum_squares(gradient, sums.pair.columns);
  sums.columns = sum_squares(gradient, sums.pair.rows);
  sums.total = reduce_sum(sums.rows, sums.rows.shape().names());
  return sums;
}

void add_adafactor(Value parameter, Value gradient, const SquaredSums& sums, const AdafactorStep& step,
                   const AdafactorOptions& options) {
  const Value direction = normalized(parameter, gradient, sums, step, options);
  // Both before either is needed: between ranks they are then summed together.
  const Value direction_squares = sum_squares(direction), parameter_squares = sum_squares(parameter);
  const Value clip = maximum(constant(parameter.graph(), parameter.dtype(), {}, 1.0),
                             root_mean_square(direction, direction_squares) * (1.0 / options.clip_threshold));
  const Value least = constant(parameter.graph(), parameter.dtype(), {}, options.epsilon2);
  const Value rate = step.learning_rate * maximum(root_mean_square(parameter, parameter_squares), least) / clip;
  assign(parameter, parameter - direction * rate, step.apply);
}

}  // namespace synthesizer
