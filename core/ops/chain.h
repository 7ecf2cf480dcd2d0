// Several nodes of one index space as one: each element of it is read once, whatever is computed of it follows at once,
// and only what others need is written. The pass that makes chains is core/ops/passes/chain_pass.h.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/ops/reduce.h"

namespace synthesizer {

// Unary, UnaryGradient, Binary, Broadcast and Dropout give a value of each element of the index space; Reduce (a sum,
// in one part) and Assign end a chain: no step reads what they give.
struct ChainStep {
  // Whether operand i is read element by element: not the target of an Assign, nor what a Dropout is told of the step.
  bool reads_elements(size_t i) const;

  std::shared_ptr<const Op> op;
  std::vector<int> operands;  // values: first the chain's inputs, then what each step gives
  bool again = false;         // another node computes it too: no operation of the model is counted twice
};

// In which order a chain goes over its index space. Sums are grouped as Reduce alone groups them, so they are the same
// to the bit.
enum class ChainOrder {
  kElements,        // as they lie in memory: nothing is reduced
  kReduction,       // as a Reduce over these dims does
  kRowsAndColumns,  // row by row: over the last dims (rows), and over those right before them (columns)
};
// Of reductions over these dims (a set each) at once; nothing if there is none.
std::optional<ChainOrder> chain_order(const Shape& over, std::span<const DimNames> reduced);

// Whether a chain can have the op as a step.
bool is_chain_value(const Op& op);  // one that gives a value of each element
bool is_chain_end(const Op& op);

// The steps one after the other, in one type and the same to the bit: in bf16 each step rounds, and there are no ends.
// Targets may be in bf16, to be rounded to. A result may lie in the memory of an input that no later step reads. It is
// made of one rank's nodes after differentiation and partition, so it has no gradient and is not split.
class Chain : public Op {
 public:
  static constexpr size_t kMostValues = 128;  // inputs and steps

  // `over`: the index space, which the values of all steps but the last kind have as their shape. `results`: the values
  // that are given, every end among them. Throws Error if the steps do not make a chain.
  Chain(Shape over, size_t inputs, std::vector<ChainStep> steps, std::vector<int> results);
  const Shape& over() const { return over_; }
  int inputs() const { return inputs_; }
  const std::vector<ChainStep>& steps() const { return steps_; }
  const std::vector<int>& results() const { return results_; }
  ChainOrder order() const { return order_; }
  // What the steps give.
  DType dtype(std::span<const ValueType> inputs) const;
  // The last step that reads the value, -1: none. The target of an Assign is not read by it; sums read after all steps.
  int last_read(int value) const;

  std::string_view name() const override { return "chain"; }
  std::string attributes() const override;
  bool pure() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override;

  // The same as nodes of their own: gives the results.
  std::vector<Value> unfused(Graph& graph, std::span<const Value> inputs) const;

 private:
  std::vector<ValueType> value_types(std::span<const ValueType> inputs) const;

  Shape over_;
  int inputs_;
  std::vector<ChainStep> steps_;
  std::vector<int> results_;
  ChainOrder order_;
};

}  // namespace synthesizer
