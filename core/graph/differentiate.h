// Reverse-mode differentiation as a graph transformation (Griewank & Walther): gradients are ordinary nodes.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/graph/graph.h"

namespace synthesizer {

// Adds two gradients of one value (the graph knows no ops: core/ops gives its `operator+`).
using AddGradients = std::function<Value(Value, Value)>;

// d loss / d each of `wanted`, appended to the graph; `loss` is a scalar. A value that the loss does not depend on gets
// no gradient (an empty Value). Contributions of several uses are added in one fixed order, the last use first.
std::vector<Value> differentiate(Value loss, std::span<const Value> wanted, const AddGradients& add);

}  // namespace synthesizer
