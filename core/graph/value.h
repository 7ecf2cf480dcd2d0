// Handles to the values of a graph.
#pragma once

#include <compare>
#include <cstdint>

#include "core/tensor/dims.h"
#include "core/tensor/dtype.h"

namespace synthesizer {

class Graph;
struct Node;

// What a value is: element type and named shape.
struct ValueType {
  DType dtype = DType::kFloat32;
  Shape shape;

  int64_t bytes() const { return shape.elements() * size_of(dtype); }
  bool operator==(const ValueType&) const = default;
};

// One output of one node, as the graph stores it.
struct ValueRef {
  int node = -1;
  int output = 0;
  auto operator<=>(const ValueRef&) const = default;
};

// A ValueRef together with its graph: what model code passes around. Cheap to copy; a default one is "no value".
class Value {
 public:
  Value() = default;
  Value(Graph* graph, ValueRef ref) : graph_(graph), ref_(ref) {}

  explicit operator bool() const { return graph_ != nullptr; }
  Graph& graph() const { return *graph_; }
  ValueRef ref() const { return ref_; }
  const Node& node() const;
  const ValueType& type() const;
  const Shape& shape() const { return type().shape; }
  DType dtype() const { return type().dtype; }
  bool operator==(const Value&) const = default;

 private:
  Graph* graph_ = nullptr;
  ValueRef ref_;
};

}  // namespace synthesizer
