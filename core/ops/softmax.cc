#include "core/ops/softmax.h"

#include "core/base/error.h"
#include "core/ops/cast.h"
#include "core/ops/contract.h"
#include "core/ops/elementwise.h"

namespace synthesizer {
namespace {

std::string text(const SoftmaxOptions& options) {
  return fmt::format("over {}{}{}{}{}", options.over, options.causal ? ", causal for " + options.query : "",
                     options.addend ? ", addend" : "", options.key_mask ? ", key mask" : "",
                     options.segments ? ", segments" : "");
}

// With `causal` a query's position counts, so queries cannot be split either.
DimNames not_split(const SoftmaxOptions& options) {
  return options.causal ? DimNames{options.over, options.query} : DimNames{options.over};
}

void expect_mask(const ValueType& x, std::string_view what, const ValueType& mask, const std::string& over) {
  const std::vector<Dim>& dims = mask.shape.dims();
  if (mask.dtype != DType::kInt32 || dims.size() != 2 || !x.shape.has(dims[0].name) || !x.shape.has(dims[1].name) ||
      dims[0].name == over)
    fail("[softmax] {} of {}: got {}, expected i32 [batch, length]", what, describe(x), describe(mask));
  expect_same_sizes("softmax", x, mask);
}

void expect_softmax_dims(std::string_view op, const SoftmaxOptions& options, const ValueType& x) {
  expect_floating(op, "input", x);
  expect_dim(op, "input", x, options.over);
  if (options.causal) expect_dim(op, "input of a causal softmax", x, options.query);
}

}  // namespace

// ---- Softmax

std::string Softmax::attributes() const { return text(options_); }

std::vector<ValueType> Softmax::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1u + options_.addend + options_.key_mask + options_.segments);
  expect_softmax_dims(name(), options_, inputs[0]);
  if (options_.addend) {
    expect_type(name(), "addend", inputs[1], {compute_type(inputs[0].dtype), inputs[1].shape});
    expect_same_sizes(name(), inputs[0], inputs[1]);
    for (const Dim& dim : inputs[1].shape.dims()) expect_dim(name(), "input, to add an addend to", inputs[0], dim.name);
  }
  if (options_.key_mask) {
    const ValueType& mask = inputs[1u + options_.addend];
    expect_mask(inputs[0], "key mask", mask, options_.over);
    if (mask.shape.dims()[1].name != options_.over)
      fail("[softmax] key mask: got {}, expected {} last", describe(mask), options_.over);
  }
  if (options_.segments) {
    CHECK(options_.key_mask, "[softmax] segments of queries without those of keys");
    expect_mask(inputs[0], "segments", inputs.back(), options_.over);
    if (inputs.back().shape.dims()[1].name == options_.over)
      fail("[softmax] segments: got {}, expected those of queries", describe(inputs.back()));
  }
  return {inputs[0]};
}

std::vector<Value> Softmax::gradient(const GradientContext& context) const {
  std::vector<Value> gradients(context.inputs.size());
  const bool to_addend = options_.addend && context.needed[1];
  if (!context.needed[0] && !to_addend) return gradients;
  SoftmaxOptions options = options_;
  options.addend = options.key_mask = options.segments = false;
  const Value y = context.outputs[0];
  const Value dx = y.graph().add_one(std::make_shared<SoftmaxGradient>(options), {{y, context.output_gradients[0]}});
  if (context.needed[0]) gradients[0] = dx;
  if (to_addend) gradients[1] = unbroadcast(dx, context.inputs[1].type());
  return gradients;
}

std::vector<PartitionRule> Softmax::partition(std::span<const ValueType> inputs,
                                              std::span<const ValueType> outputs) const {
  return independent_rules(inputs, outputs, not_split(options_));
}

// An element: the maximum, subtract, exp, the sum, divide; and adding the addend.
Cost Softmax::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {(options_.addend ? 6 : 5) * total_elements(outputs), total_bytes(inputs) + total_bytes(outputs)};
}

// ---- SoftmaxGradient

std::string SoftmaxGradient::attributes() const { return text(options_); }

std::vector<ValueType> SoftmaxGradient::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 2);
  expect_softmax_dims(name(), options_, inputs[0]);
  expect_type(name(), "dy", inputs[1], inputs[0]);
  return {inputs[0]};
}

std::vector<PartitionRule> SoftmaxGradient::partition(std::span<const ValueType> inputs,
                                                      std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, not_split(options_));
  rules.push_back(partial_rule(Placement::partial_sum(), 2, {1}, 1, {0}));
  return rules;
}

// An element: a product and its sum, subtract, multiply.
Cost SoftmaxGradient::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {4 * total_elements(outputs), total_bytes(inputs) + total_bytes(outputs)};
}

Value softmax(Value x, const std::string& over, Value addend, Value key_mask, const std::string& causal_query,
              Value segments) {
  SoftmaxOptions options;
  options.over = over;
  options.query = causal_query;
  options.causal = !causal_query.empty();
  options.addend = static_cast<bool>(addend);
  options.key_mask = static_cast<bool>(key_mask);
  options.segments = static_cast<bool>(segments);
  std::vector<Value> inputs = {x};
  if (addend) inputs.push_back(cast(addend, compute_type(x.dtype())));
  if (key_mask) inputs.push_back(key_mask);
  if (segments) inputs.push_back(segments);
  return x.graph().add_one(std::make_shared<Softmax>(std::move(options)), inputs);
}

}  // namespace synthesizer
