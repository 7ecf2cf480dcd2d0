#include "core/ops/einsum.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/ops/cast.h"
#include "core/ops/contract.h"

namespace synthesizer {
namespace {

bool contains(const DimNames& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

ValueType mask_type(const ValueType& relu) {
  const int64_t columns = relu.shape.rank() == 0 ? 1 : relu.shape.dims().back().size;
  return {DType::kInt32, {{"mask_rows", relu.shape.elements() / columns}, {"mask_words", mask_words(columns)}}};
}

std::string Einsum::attributes() const {
  static constexpr std::string_view kEpilogues[] = {"", ", relu", ", relu gradient", ", relu with mask",
                                                    ", relu gradient by mask"};
  return fmt::format("to {}{}{}{}", fmt::join(output_, " "), wide_ ? ", wide" : "", bias_ ? ", bias" : "",
                     kEpilogues[static_cast<size_t>(epilogue_)]);
}

std::vector<ValueType> Einsum::infer(std::span<const ValueType> inputs) const {
  if (bias_ && is_gradient()) fail("[einsum] a relu's gradient with a bias: expected one of them");
  expect_count(name(), inputs, this->inputs());
  expect_one_floating_type(name(), inputs.first(2));
  const Shape &a = inputs[0].shape, &b = inputs[1].shape;
  expect_same_sizes(name(), inputs[0], inputs[1]);
  std::vector<Dim> dims;
  for (const std::string& dim : output_) {
    if (!a.has(dim) && !b.has(dim))
      fail("[einsum] output dimension {}: got {} and {}, expected it in one of them", dim, a.to_string(),
           b.to_string());
    dims.push_back({dim, a.has(dim) ? a.size(dim) : b.size(dim)});
  }
  for (int i = 0; i < 2; ++i)
    for (const Dim& dim : inputs[i].shape.dims())
      if (!inputs[1 - i].shape.has(dim.name) && !contains(output_, dim.name))
        fail("[einsum] contracted dimension {}: got {} and {}, expected it in both", dim.name, a.to_string(),
             b.to_string());
  const ValueType output{wide_ ? compute_type(inputs[0].dtype) : inputs[0].dtype, Shape(std::move(dims))};
  if (bias_) {
    const std::vector<Dim>& all = output.shape.dims();
    const size_t rank = std::min(inputs[2].shape.rank(), all.size());
    const auto first = all.end() - static_cast<std::ptrdiff_t>(rank);
    expect_type(name(), "the bias", inputs[2], {output.dtype, Shape(std::vector<Dim>(first, all.end()))});
  }
  if (epilogue_ == Epilogue::kReluGradient) expect_type(name(), "the relu's result", inputs.back(), output);
  if (epilogue_ == Epilogue::kReluGradientByMask)
    expect_type(name(), "the relu's mask", inputs.back(), mask_type(output));
  if (epilogue_ == Epilogue::kReluWithMask) return {output, mask_type(output)};
  return {output};
}

std::vector<Value> Einsum::gradient(const GradientContext& context) const {
  CHECK(epilogue_ == Epilogue::kNone && !bias_, "[einsum {}] has an epilogue, which comes after differentiation",
        context.name);
  const Value a = context.inputs[0], b = context.inputs[1], dy = cast(context.output_gradients[0], a.dtype());
  std::vector<Value> gradients(2);
  if (context.needed[0]) gradients[0] = einsum_to(dy, b, a.shape().names());
  if (context.needed[1]) gradients[1] = einsum_to(a, dy, b.shape().names());
  return gradients;
}

std::vector<PartitionRule> Einsum::partition(std::span<const ValueType> inputs,
                                             std::span<const ValueType> outputs) const {
  if (has_mask()) return {whole_rule(inputs.size(), outputs.size())};  // masks come after the partition
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs);
  const auto sums = [](const PartitionRule& rule) {  // a split contracted dim: each rank has its part of the sum
    return rule.inputs[0].kind == Placement::Kind::kSplit && rule.outputs[0].kind == Placement::Kind::kWhole;
  };
  if (epilogue_ == Epilogue::kRelu || bias_) {  // is not one of sums
    std::erase_if(rules, sums);
    return rules;
  }
  for (PartitionRule& rule : rules)
    if (sums(rule)) rule.outputs[0] = Placement::partial_sum();
  for (const size_t i : {0, 1}) rules.push_back(partial_rule(Placement::partial_sum(), inputs.size(), {i}, 1, {0}));
  return rules;
}

// Every dim once, times 2: batch·m·n·k multiply-adds.
Cost Einsum::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  int64_t contracted = 1;
  for (const Dim& dim : inputs[0].shape.dims())
    if (!outputs[0].shape.has(dim.name)) contracted *= dim.size;
  return {2 * outputs[0].shape.elements() * contracted, total_bytes(inputs) + total_bytes(outputs)};
}

Value einsum(Value a, Value b, const DimNames& contract) {
  for (const std::string& dim : contract)
    for (const Value& input : {a, b})
      if (!input.shape().has(dim))
        fail("[einsum] contracted dimension {}: got {} and {}, expected it in both", dim, a.shape().to_string(),
             b.shape().to_string());
  DimNames output;
  for (const Value& input : {a, b})
    for (const Dim& dim : input.shape().dims())
      if (!contains(contract, dim.name) && !contains(output, dim.name)) output.push_back(dim.name);
  return einsum_to(a, b, output);
}

Value einsum_to(Value a, Value b, const DimNames& output) {
  const auto [x, y] = meet(a, b);
  return x.graph().add_one(std::make_shared<Einsum>(output), {{x, y}});
}

Value wide_einsum_to(Value a, Value b, const DimNames& output) {
  const auto [x, y] = meet(a, b);
  const bool wide = compute_type(x.dtype()) != x.dtype();
  return x.graph().add_one(std::make_shared<Einsum>(output, wide), {{x, y}});
}

}  // namespace synthesizer
