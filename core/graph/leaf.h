// Leaves of the graph: what a step is given. Parameters, fixed tensors and optimizer state live between steps, and so
// do copies of them in another type; sums over a step's passes live between those; inputs are written by the host
// before each step; constants are made by the step itself.
#pragma once

#include <vector>

#include "core/base/random.h"
#include "core/graph/graph.h"

namespace synthesizer {

// One rank's block of a whole tensor: per dim, where it begins and how large the whole dim is; and which of the ranks
// that hold this same block it is.
struct Block {
  Shape whole;
  std::vector<int64_t> begin;
  int64_t replica = 0;
  int64_t replicas = 1;
};

// What a rank has of a shape, and of a block, when `shape` is placed so on an axis. Throws Error if a split dim does
// not divide.
Shape local_shape(const Shape& shape, const Placement& placement, const AxisIndex& axis);
Block local_block(const Block& block, const Shape& shape, const Placement& placement, const AxisIndex& axis);

class Leaf : public Op {
 public:
  enum class Kind {
    kParameter,  // trained
    kFixed,      // drawn once, never trained (the matrices of Fix)
    kState,      // of the optimizer
    kGathered,   // sums over the passes of one step, which the next step begins anew (core/ops/update.h, Accumulate)
    kDerived,    // another leaf's elements as bf16: no state of its own, and always what the other's would be cast to
    kInput,      // written by the host before each step
  };
  Leaf(Kind kind, DType dtype, Shape shape, Initializer initializer);

  // What is derived of this leaf, which is named `name`.
  Leaf derived(const std::string& name) const;

  Kind kind() const { return kind_; }
  bool persistent() const { return kind_ != Kind::kInput; }
  const Initializer& initializer() const { return initializer_; }
  // Of what is derived the name of the leaf that it is made of; "": of none, so it is never made.
  const std::string& source() const { return source_; }
  // This rank's block of the whole tensor; before partition the block is the whole.
  const Block& block() const { return block_; }

  std::string_view name() const override;
  std::string attributes() const override;
  bool pure() const override { return false; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::shared_ptr<const Op> localize(const PartitionRule&, const AxisIndex&, std::span<const ValueType>,
                                     std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override { return {}; }

 private:
  Kind kind_;
  ValueType type_;
  Initializer initializer_;
  std::string source_;
  Block block_;
};

// Every element is `value`.
class Constant : public Op {
 public:
  Constant(DType dtype, Shape shape, double value) : type_{dtype, std::move(shape)}, value_(value) {}
  double value() const { return value_; }

  std::string_view name() const override { return "constant"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::shared_ptr<const Op> localize(const PartitionRule&, const AxisIndex&, std::span<const ValueType>,
                                     std::span<const ValueType>) const override;

 private:
  ValueType type_;
  double value_;
};

// Whether running the node does nothing: it is given, or only another name for the same bytes.
bool runs_nothing(const Node& node);

Value parameter(Graph& graph, const std::string& name, DType dtype, Shape shape, Initializer initializer);
Value fixed(Graph& graph, const std::string& name, DType dtype, Shape shape, Initializer initializer);
Value state(Graph& graph, const std::string& name, DType dtype, Shape shape, Initializer initializer);
Value gathered(Graph& graph, const std::string& name, DType dtype, Shape shape);
Value input(Graph& graph, const std::string& name, DType dtype, Shape shape);
// The leaf's elements as bf16, a leaf named "NAME.bf16".
Value derived(Value leaf);
Value constant(Graph& graph, DType dtype, Shape shape, double value);

}  // namespace synthesizer
