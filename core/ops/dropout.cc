#include "core/ops/dropout.h"

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/ops/contract.h"

namespace synthesizer {

std::string Dropout::attributes() const {
  std::string text =
      fmt::format("{}, seed {}, name {:016x}, shared along {}, block of {} from {}", rate_, seed_, name_hash_,
                  fmt::join(shared_, " "), block_.whole.to_string(), fmt::join(block_.begin, " "));
  if (micro_batches_.count > 1)
    text +=
        fmt::format(", {} micro-batches{}", micro_batches_.count, micro_batches_.interleaved ? ", interleaved" : "");
  return text;
}

std::vector<ValueType> Dropout::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, micro_batches_.count > 1 ? 3 : 2);
  expect_floating(name(), "input", inputs[0]);
  expect_type(name(), "step", inputs[1], {DType::kInt64, {}});
  if (micro_batches_.count > 1) expect_type(name(), "micro-batch", inputs[2], {DType::kInt64, {}});
  if (!(rate_ >= 0 && rate_ < 1)) fail("[dropout] rate: got {}, expected at least 0 and below 1", rate_);
  for (const std::string& dim : shared_) expect_dim(name(), "input, to share the mask along,", inputs[0], dim);
  if (inputs[0].shape.names() != block_.whole.names())
    fail("[dropout] input: got {}, expected the dimensions of {}", describe(inputs[0]), block_.whole.to_string());
  return {inputs[0]};
}

std::vector<Value> Dropout::gradient(const GradientContext& context) const {
  std::vector<Value> gradients(context.inputs.size());
  if (!context.needed[0]) return gradients;
  std::vector<Value> inputs(context.inputs.begin(), context.inputs.end());
  inputs[0] = context.output_gradients[0];
  gradients[0] = inputs[0].graph().add_one(std::make_shared<Dropout>(*this), inputs);
  return gradients;
}

std::vector<PartitionRule> Dropout::partition(std::span<const ValueType> inputs,
                                              std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs);
  rules.push_back(partial_rule(Placement::partial_sum(), inputs.size(), {0}, 1, {0}));
  rules.push_back(partial_rule(Placement::partial_max(), inputs.size(), {0}, 1, {0}));
  return rules;
}

std::shared_ptr<const Op> Dropout::localize(const PartitionRule& rule, const AxisIndex& axis,
                                            std::span<const ValueType> inputs, std::span<const ValueType>) const {
  return std::make_shared<Dropout>(rate_, seed_, name_hash_, shared_,
                                   local_block(block_, inputs[0].shape, rule.inputs[0], axis), micro_batches_);
}

std::shared_ptr<const Dropout> Dropout::in_micro_batches(MicroBatches micro_batches) const {
  auto part = std::make_shared<Dropout>(*this);
  part->micro_batches_ = micro_batches;
  return part;
}

Value dropout(Value x, double rate, const DimNames& shared, Value step, uint64_t seed) {
  if (rate == 0) return x;
  const std::string name = x.graph().next_name("dropout");
  Block block{x.shape(), std::vector<int64_t>(x.shape().rank())};
  const auto op = std::make_shared<Dropout>(rate, seed, hash_name(name), shared, std::move(block));
  return x.graph().add_named(op, {{x, step}}, name)[0];
}

}  // namespace synthesizer
