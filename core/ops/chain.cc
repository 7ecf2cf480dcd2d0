#include "core/ops/chain.h"

#include <algorithm>
#include <iterator>

#include "core/base/error.h"
#include "core/ops/contract.h"
#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "core/ops/update.h"

namespace synthesizer {
namespace {

constexpr int64_t kWidestRow = 32768;  // of more elements the sums over columns cannot be shared out by rows

template <typename O>
const O* as(const Op& op) {
  return dynamic_cast<const O*>(&op);
}

// The dims of `over` that are in `names` lie side by side: gives the first one's index, -1 if they do not.
int block_of(const Shape& over, const DimNames& names) {
  int first = -1, count = 0;
  for (size_t d = 0; d < over.rank(); ++d) {
    if (std::find(names.begin(), names.end(), over.dims()[d].name) == names.end()) continue;
    if (first < 0) first = static_cast<int>(d);
    if (static_cast<int>(d) != first + count++) return -1;
  }
  return first;
}

int64_t elements_of(const Shape& over, const DimNames& names) {
  int64_t n = 1;
  for (const std::string& name : names) n *= over.size(name);
  return n;
}

bool rows_and_columns(const Shape& over, const DimNames& rows, const DimNames& columns) {
  const int row = block_of(over, rows), column = block_of(over, columns);
  if (row < 0 || column < 0 || column + static_cast<int>(columns.size()) != row) return false;
  if (row + rows.size() != over.rank()) return false;
  const int64_t length = elements_of(over, rows);
  return length > 1 && length < kWidestRow && elements_of(over, columns) > 1;
}

DimNames sorted(DimNames names) {
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::optional<ChainOrder> chain_order(const Shape& over, std::span<const DimNames> reduced) {
  std::vector<DimNames> sets;
  for (const DimNames& names : reduced)
    if (std::find(sets.begin(), sets.end(), sorted(names)) == sets.end()) sets.push_back(sorted(names));
  if (sets.empty()) return ChainOrder::kElements;
  if (sets.size() == 1) return ChainOrder::kReduction;
  if (sets.size() == 2 && (rows_and_columns(over, sets[0], sets[1]) || rows_and_columns(over, sets[1], sets[0])))
    return ChainOrder::kRowsAndColumns;
  return std::nullopt;
}

bool is_chain_value(const Op& op) {
  return as<Unary>(op) || as<UnaryGradient>(op) || as<Binary>(op) || as<Broadcast>(op) || as<Dropout>(op);
}

bool ChainStep::reads_elements(size_t i) const {
  if (as<Assign>(*op) != nullptr) return i > 0;
  return i == 0 || as<Dropout>(*op) == nullptr;
}

bool is_chain_end(const Op& op) {
  if (const auto* reduce = as<Reduce>(op))
    return reduce->function() != ReduceFunction::kMax && reduce->parts().dim.empty() && !reduce->over().empty();
  return as<Assign>(op) != nullptr;
}

Chain::Chain(Shape over, size_t inputs, std::vector<ChainStep> steps, std::vector<int> results)
    : over_(std::move(over)),
      inputs_(static_cast<int>(inputs)),
      steps_(std::move(steps)),
      results_(std::move(results)) {
  CHECK(inputs + steps_.size() <= kMostValues, "[chain] {} values, expected at most {}", inputs + steps_.size(),
        kMostValues);
  std::vector<DimNames> reduced;
  for (size_t s = 0; s < steps_.size(); ++s) {
    const ChainStep& step = steps_[s];
    const bool end = is_chain_end(*step.op);
    CHECK(end || is_chain_value(*step.op), "[chain] {} cannot be a step", step.op->name());
    for (const int operand : step.operands) {
      CHECK(operand >= 0 && operand < inputs_ + static_cast<int>(s), "[chain] step {} reads value {}", s, operand);
      CHECK(operand < inputs_ || !is_chain_end(*steps_[static_cast<size_t>(operand - inputs_)].op),
            "[chain] step {} reads the end {}", s, operand);
    }
    if (const auto* reduce = as<Reduce>(*step.op)) reduced.push_back(reduce->over());
    const bool given = std::find(results_.begin(), results_.end(), inputs_ + static_cast<int>(s)) != results_.end();
    CHECK(given || !end, "[chain] {} is an end that is not given", step.op->name());
    CHECK(as<Assign>(*step.op) == nullptr || (step.operands[0] < inputs_ && step.operands[2] < inputs_),
          "[chain] assign's target and apply are inputs");
  }
  CHECK(!results_.empty(), "[chain] gives nothing");
  for (const int result : results_) CHECK(result >= inputs_, "[chain] gives an input");
  const auto order = chain_order(over_, reduced);
  CHECK(order.has_value(), "[chain] no order reduces {} so", over_.to_string());
  order_ = *order;
}

int Chain::last_read(int value) const {
  const auto reduces = [&](const ChainStep& step) {
    return as<Reduce>(*step.op) != nullptr && step.operands[0] == value;
  };
  if (std::any_of(steps_.begin(), steps_.end(), reduces)) return static_cast<int>(steps_.size());
  for (size_t s = steps_.size(); s-- > 0;) {
    const auto& operands = steps_[s].operands;
    const auto begin = operands.begin() + (as<Assign>(*steps_[s].op) != nullptr ? 1 : 0);
    if (std::find(begin, operands.end(), value) != operands.end()) return static_cast<int>(s);
  }
  return -1;
}

DType Chain::dtype(std::span<const ValueType> inputs) const {
  const ChainStep& first = steps_[0];
  return inputs[static_cast<size_t>(first.operands[as<Assign>(*first.op) != nullptr ? 1 : 0])].dtype;
}

std::string Chain::attributes() const {
  std::string text;
  for (size_t s = 0; s < steps_.size(); ++s) {
    const Op& op = *steps_[s].op;
    const std::string of = op.attributes();
    text += fmt::format("{}{} = {}{}({})", s == 0 ? "" : "; ", inputs_ + static_cast<int>(s), op.name(),
                        of.empty() ? "" : " " + of, fmt::join(steps_[s].operands, ", "));
  }
  return text + fmt::format("; gives {}", fmt::join(results_, ", "));
}

bool Chain::pure() const {
  return std::all_of(steps_.begin(), steps_.end(), [](const ChainStep& step) { return step.op->pure(); });
}

std::vector<ValueType> Chain::value_types(std::span<const ValueType> inputs) const {
  std::vector<ValueType> types(inputs.begin(), inputs.end());
  for (const ChainStep& step : steps_) {
    std::vector<ValueType> operands;
    for (const int operand : step.operands) operands.push_back(types[static_cast<size_t>(operand)]);
    types.push_back(step.op->infer(operands)[0]);
  }
  return types;
}

std::vector<ValueType> Chain::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, static_cast<size_t>(inputs_));
  const DType calculated = dtype(inputs);
  for (const ChainStep& step : steps_) {
    for (size_t k = 0; k < step.operands.size(); ++k) {
      const auto i = static_cast<size_t>(step.operands[k]);
      if (i < inputs.size() && step.reads_elements(k))
        expect_type(name(), fmt::format("input {}", i), inputs[i], {calculated, inputs[i].shape});
    }
    CHECK(calculated != DType::kBFloat16 || !is_chain_end(*step.op), "[chain] {} ends a chain in bf16",
          step.op->name());
  }
  const std::vector<ValueType> types = value_types(inputs);
  for (size_t s = 0; s < steps_.size(); ++s) {
    const Op& op = *steps_[s].op;
    const auto whole = static_cast<size_t>(is_chain_end(op) ? steps_[s].operands[as<Assign>(op) != nullptr ? 1 : 0]
                                                            : inputs_ + static_cast<int>(s));
    expect_type(name(), op.name(), types[whole], {calculated, over_});
  }
  std::vector<ValueType> outputs;
  for (const int result : results_) outputs.push_back(types[static_cast<size_t>(result)]);
  return outputs;
}

std::vector<PartitionRule> Chain::partition(std::span<const ValueType> inputs,
                                            std::span<const ValueType> outputs) const {
  return {whole_rule(inputs.size(), outputs.size())};
}

// What the steps compute, but for what is computed again; of memory what is really read and written, each once.
Cost Chain::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  Cost cost{0, total_bytes(outputs)};
  for (size_t i = 0; i < inputs.size(); ++i)
    if (last_read(static_cast<int>(i)) >= 0) cost.bytes += inputs[i].bytes();
  const std::vector<ValueType> types = value_types(inputs);
  for (size_t s = 0; s < steps_.size(); ++s) {
    if (steps_[s].again) continue;
    std::vector<ValueType> operands;
    for (const int operand : steps_[s].operands) operands.push_back(types[static_cast<size_t>(operand)]);
    cost.flops += steps_[s].op->cost(operands, {&types[static_cast<size_t>(inputs_) + s], 1}).flops;
  }
  return cost;
}

std::vector<Alias> Chain::aliases() const {
  std::vector<Alias> aliases;
  for (size_t r = 0; r < results_.size(); ++r) {
    const int at = results_[r] - inputs_, output = static_cast<int>(r);
    const ChainStep& step = steps_[static_cast<size_t>(at)];
    if (as<Assign>(*step.op) != nullptr) aliases.push_back({output, step.operands[0], Alias::Kind::kUpdate});
    if (is_chain_end(*step.op)) continue;
    for (int input = 0; input < inputs_; ++input)  // the memory plan takes those of the result's type
      if (last_read(input) >= 0 && last_read(input) <= at) aliases.push_back({output, input, Alias::Kind::kInPlace});
  }
  return aliases;
}

std::vector<Value> Chain::unfused(Graph& graph, std::span<const Value> inputs) const {
  std::vector<Value> values(inputs.begin(), inputs.end());
  for (const ChainStep& step : steps_) {
    std::vector<Value> operands;
    for (const int operand : step.operands) operands.push_back(values[static_cast<size_t>(operand)]);
    values.push_back(graph.add_one(step.op, operands));
  }
  std::vector<Value> results;
  for (const int result : results_) results.push_back(values[static_cast<size_t>(result)]);
  return results;
}

}  // namespace synthesizer
