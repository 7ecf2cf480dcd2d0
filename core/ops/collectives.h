// Communication as nodes: what the partition pass inserts where a value is not placed as its user needs it.
// Model code never uses them. None has a gradient: partition comes after differentiation.
// Of a sum that is not sent as it is (Wire), the inputs are float32.
#pragma once

#include "core/graph/communicator.h"
#include "core/graph/graph.h"

namespace synthesizer {

// The sum (or maximum) over the ranks of an axis, whole on each. One output an input, each in place; the memory plan
// lays the inputs of one node out as one block, so that a bucket of gradients is one call.
class AllReduce : public Op {
 public:
  AllReduce(std::string axis, Reduction reduction, size_t count = 1, Wire wire = Wire::kFull)
      : axis_(std::move(axis)), reduction_(reduction), count_(count), wire_(wire) {}
  const std::string& axis() const { return axis_; }
  Reduction reduction() const { return reduction_; }
  size_t count() const { return count_; }
  Wire wire() const { return wire_; }

  std::string_view name() const override { return "all_reduce"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override;
  bool collective() const override { return true; }
  bool contiguous() const override { return count_ > 1; }

 private:
  std::string axis_;
  Reduction reduction_;
  size_t count_;
  Wire wire_;
};

// Partial sums in, this rank's block along `dim` out.
class ReduceScatter : public Op {
 public:
  ReduceScatter(std::string axis, int size, std::string dim, Wire wire = Wire::kFull)
      : axis_(std::move(axis)), size_(size), dim_(std::move(dim)), wire_(wire) {}
  const std::string& axis() const { return axis_; }
  int size() const { return size_; }
  const std::string& dim() const { return dim_; }
  Wire wire() const { return wire_; }

  std::string_view name() const override { return "reduce_scatter"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  bool collective() const override { return true; }

 private:
  std::string axis_;
  int size_;
  std::string dim_;
  Wire wire_;
};

// This rank's block along `dim` in, all blocks out.
class AllGather : public Op {
 public:
  AllGather(std::string axis, int size, std::string dim) : axis_(std::move(axis)), size_(size), dim_(std::move(dim)) {}
  const std::string& axis() const { return axis_; }
  int size() const { return size_; }
  const std::string& dim() const { return dim_; }

  std::string_view name() const override { return "all_gather"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  bool collective() const override { return true; }

 private:
  std::string axis_;
  int size_;
  std::string dim_;
};

// Split along `from` in, split along `to` out.
class AllToAll : public Op {
 public:
  AllToAll(std::string axis, int size, std::string from, std::string to)
      : axis_(std::move(axis)), size_(size), from_(std::move(from)), to_(std::move(to)) {}
  const std::string& axis() const { return axis_; }
  int size() const { return size_; }
  const std::string& from() const { return from_; }
  const std::string& to() const { return to_; }

  std::string_view name() const override { return "all_to_all"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  bool collective() const override { return true; }

 private:
  std::string axis_;
  int size_;
  std::string from_, to_;
};

// Whole in, partial sum out: the value on axis index 0, zeros elsewhere. Not a collective, but only they need it.
class KeepOnFirst : public Op {
 public:
  explicit KeepOnFirst(AxisIndex axis) : axis_(std::move(axis)) {}
  const AxisIndex& axis() const { return axis_; }

  std::string_view name() const override { return "keep_on_first"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override { return {{0, 0, Alias::Kind::kInPlace}}; }

 private:
  AxisIndex axis_;
};

}  // namespace synthesizer
