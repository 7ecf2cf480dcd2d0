// Reductions over named dims.
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

enum class ReduceFunction { kSum, kMax, kSumSquares };
std::string_view to_string(ReduceFunction function);

// Fixed parts of one of the reduced dims, each reduced by itself and then joined in a binary tree in the input's dtype:
// a tensor that is split along that dim over ranks gives the same bits (dist/reduce.h joins them in the same tree).
struct ReduceParts {
  std::string dim;  // "": none
  int64_t count = 1;
};

// The output has the remaining dims in the input's order; [] if none is left. kMax has no gradient.
// Sums are accumulated in double, in an order that does not depend on the number of threads. The output is of the
// input's type, or of its compute_type() if `wide`.
class Reduce : public Op {
 public:
  Reduce(ReduceFunction function, DimNames over, ReduceParts parts = {}, bool wide = false)
      : function_(function), over_(std::move(over)), parts_(std::move(parts)), wide_(wide) {}
  ReduceFunction function() const { return function_; }
  const DimNames& over() const { return over_; }
  const ReduceParts& parts() const { return parts_; }
  bool wide() const { return wide_; }

  std::string_view name() const override { return to_string(function_); }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::shared_ptr<const Op> localize(const PartitionRule&, const AxisIndex&, std::span<const ValueType>,
                                     std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  ReduceFunction function_;
  DimNames over_;
  ReduceParts parts_;
  bool wide_;
};

// Copies x along new dims, put in front: the gradient of a sum.
class Broadcast : public Op {
 public:
  explicit Broadcast(Shape output) : output_(std::move(output)) {}
  const Shape& output() const { return output_; }

  std::string_view name() const override { return "broadcast"; }
  std::string attributes() const override { return output_.to_string(); }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::shared_ptr<const Op> localize(const PartitionRule&, const AxisIndex&, std::span<const ValueType>,
                                     std::span<const ValueType>) const override;

 private:
  Shape output_;  // any order; has every dim of x
};

Value reduce_sum(Value x, const DimNames& over);
Value reduce_mean(Value x, const DimNames& over);
Value reduce_max(Value x, const DimNames& over);
// Over all dims if `over` is empty.
Value sum_squares(Value x, const DimNames& over = {});
Value broadcast(Value x, const Shape& output);
// With one more dim, the `at`-th; x itself if it has that.
Value broadcast(Value x, const Dim& dim, size_t at);

}  // namespace synthesizer
