// The relative-position bias of T5 (Raffel et al. 2020); declared in embedding.h.
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/ops/contract.h"
#include "core/ops/embedding.h"

namespace synthesizer {
namespace {

std::string text(const RelativeBiasOptions& options) {
  return fmt::format("{} x {}, {}, maximum distance {}", options.length, options.memory_length,
                     options.bidirectional ? "bidirectional" : "to the left", options.max_distance);
}

}  // namespace

// In float32, as everybody computes it: at a bucket's edge the rounding decides.
int relative_bucket(int64_t relative, int64_t buckets, int64_t max_distance, bool bidirectional) {
  int64_t bucket = 0;
  int64_t distance = bidirectional ? std::abs(relative) : std::max<int64_t>(-relative, 0);
  if (bidirectional) {
    buckets /= 2;
    if (relative > 0) bucket = buckets;
  }
  const int64_t exact = buckets / 2;
  if (distance < exact) return static_cast<int>(bucket + distance);
  const float logarithm = std::log(static_cast<float>(distance) / static_cast<float>(exact));
  const double range = std::log(static_cast<double>(max_distance) / static_cast<double>(exact));
  const float place = logarithm / static_cast<float>(range) * static_cast<float>(buckets - exact);
  return static_cast<int>(bucket + std::min(exact + static_cast<int64_t>(place), buckets - 1));
}

// ---- RelativeBias

std::string RelativeBias::attributes() const { return text(options_); }

std::vector<ValueType> RelativeBias::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  const ValueType& table = inputs[0];
  expect_floating(name(), "table", table);
  if (table.shape.rank() != 2 || table.shape.dims()[0].name != kBuckets.name)
    fail("[relative_bias] table: got {}, expected [buckets, heads]", describe(table));
  const int64_t buckets = table.shape.dims()[0].size, one_side = options_.bidirectional ? buckets / 2 : buckets;
  if (one_side < 2 || options_.max_distance <= one_side / 2)
    fail(
        "[relative_bias] got {} buckets for a maximum distance of {}, expected at least 2 on each side and a distance "
        "above {}",
        buckets, options_.max_distance, one_side / 2);
  return {{table.dtype, Shape{table.shape.dims()[1], kLength(options_.length), kMemoryLength(options_.memory_length)}}};
}

std::vector<Value> RelativeBias::gradient(const GradientContext& context) const {
  if (!context.needed[0]) return {Value()};
  const Value dy = context.output_gradients[0];
  const auto op = std::make_shared<RelativeBiasGradient>(options_, context.inputs[0].shape().size(kBuckets.name));
  return {dy.graph().add_one(op, {{dy}})};
}

std::vector<PartitionRule> RelativeBias::partition(std::span<const ValueType> inputs,
                                                   std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = {whole_rule(1, 1), split_rule(inputs[0].shape.dims()[1].name, inputs, outputs)};
  rules.push_back(partial_rule(Placement::partial_sum(), 1, {0}, 1, {0}));
  return rules;
}

// ---- RelativeBiasGradient

std::string RelativeBiasGradient::attributes() const { return fmt::format("{}, {} buckets", text(options_), buckets_); }

std::vector<ValueType> RelativeBiasGradient::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  const ValueType& dy = inputs[0];
  expect_floating(name(), "dy", dy);
  if (dy.shape.rank() != 3 || dy.shape.dims()[1] != kLength(options_.length) ||
      dy.shape.dims()[2] != kMemoryLength(options_.memory_length))
    fail("[relative_bias_gradient] dy: got {}, expected [heads, length {}, memory_length {}]", describe(dy),
         options_.length, options_.memory_length);
  return {{dy.dtype, Shape{kBuckets(buckets_), dy.shape.dims()[0]}}};
}

std::vector<PartitionRule> RelativeBiasGradient::partition(std::span<const ValueType> inputs,
                                                           std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = {whole_rule(1, 1), split_rule(inputs[0].shape.dims()[0].name, inputs, outputs)};
  rules.push_back(partial_rule(Placement::partial_sum(), 1, {0}, 1, {0}));
  return rules;
}

Value relative_bias(Value table, const RelativeBiasOptions& options) {
  return table.graph().add_one(std::make_shared<RelativeBias>(options), {{table}});
}

}  // namespace synthesizer
