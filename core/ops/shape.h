// Ops that move elements or only rename them.
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

// The same elements under another shape: rename a dim, merge neighbours into one, split one in two. A view.
// A merged or split dim is never mapped; a renamed one keeps its placement.
class Reshape : public Op {
 public:
  // `from` and `to`: what is replaced by what, in place: {"length"} → {"memory_length"}, {"factor_a","factor_b"} →
  // {"position"}.
  Reshape(std::vector<Dim> from, std::vector<Dim> to) : from_(std::move(from)), to_(std::move(to)) {}

  std::string_view name() const override { return "reshape"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::shared_ptr<const Op> localize(const PartitionRule&, const AxisIndex&, std::span<const ValueType>,
                                     std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override { return {}; }
  std::vector<Alias> aliases() const override { return {{0, 0, Alias::Kind::kView}}; }

 private:
  std::vector<Dim> from_, to_;
};

// Elements [begin, begin + size) along `dim`.
class Slice : public Op {
 public:
  Slice(std::string dim, int64_t begin, int64_t size) : dim_(std::move(dim)), begin_(begin), size_(size) {}
  const std::string& dim() const { return dim_; }
  int64_t begin() const { return begin_; }
  int64_t size() const { return size_; }

  std::string_view name() const override { return "slice"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;  // pad
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType> outputs) const override {
    return {0, 2 * outputs[0].bytes()};
  }

 private:
  std::string dim_;
  int64_t begin_, size_;
};

// Zeros before and after along `dim`.
class Pad : public Op {
 public:
  Pad(std::string dim, int64_t before, int64_t after) : dim_(std::move(dim)), before_(before), after_(after) {}
  const std::string& dim() const { return dim_; }
  int64_t before() const { return before_; }
  int64_t after() const { return after_; }

  std::string_view name() const override { return "pad"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;  // slice
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  std::string dim_;
  int64_t before_, after_;
};

// The element at a run-time position (i64 scalar, second input) along `dim`; the dim is gone. For decoding: no
// gradient.
class SliceAt : public Op {
 public:
  explicit SliceAt(std::string dim) : dim_(std::move(dim)) {}
  const std::string& dim() const { return dim_; }

  std::string_view name() const override { return "slice_at"; }
  std::string attributes() const override { return dim_; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType> outputs) const override {
    return {0, 2 * outputs[0].bytes()};
  }

 private:
  std::string dim_;
};

Value rename(Value x, const std::string& from, const std::string& to);
// Neighbouring dims, in this order, into one.
Value merge(Value x, const DimNames& from, const std::string& to);
Value split(Value x, const std::string& from, const std::vector<Dim>& to);
Value slice(Value x, const std::string& dim, int64_t begin, int64_t size);
Value pad(Value x, const std::string& dim, int64_t before, int64_t after);
Value slice_at(Value x, const std::string& dim, Value position);
// The leading `size` elements of a dim sized by position, renamed: [position L] → [length l]. Refuses size > L.
Value truncate(Value x, const std::string& position, const std::string& length, int64_t size);

}  // namespace synthesizer
