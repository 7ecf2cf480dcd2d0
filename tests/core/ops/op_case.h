// One row an op: from its inputs, builder and naive reference follow the tests of forward, gradient, partition and
// cost.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "tests/core/ops/tensor.h"

namespace synthesizer {

struct OpInput {
  std::string name;
  Shape shape;
  double low = -1, high = 1;       // values are uniform in between; of integers both are included
  DType dtype = DType::kFloat64;   // kFloat64 stands for the type under test
  std::vector<double> kinks = {};  // values to stay away from, where the function has no derivative
  bool persistent = false;         // of an update: lives in the state store
  bool varies = true;              // false: the gradient is not asked for
};

using In = std::span<const Value>;
using Build = std::function<std::vector<Value>(Graph&, In, DType)>;  // of the floating-point type under test
using Reference = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;

struct OpCase {
  std::string op;  // the name of the op that the row is of
  std::string label;
  std::vector<OpInput> inputs;
  Build build;  // adds one node, whose inputs are the given values in this order; gives its outputs
  Reference reference;
  bool has_gradient = true;
  std::vector<size_t> loss_outputs = {0};  // those that a gradient can flow back from
  double tolerance32 = 2e-6, tolerance64 = 1e-13;
  double gradient_tolerance = 1e-7;
  std::optional<int64_t> flops = {};
  std::optional<int64_t> bytes = {};          // of the cost in float32, where it is not every input and output once
  int64_t extra_bytes = 0;                    // or beside these
  std::optional<int64_t> product_flops = {};  // those that kernels count while they run
  std::function<void(std::vector<Tensor>&)> adjust = {};  // sets special values among the random inputs
  std::set<std::string> wide = {};                        // inputs that are of compute_type() of the type under test
  bool bfloat16 = true;                                   // whether the op is one of activations, which may be in bf16
  bool all_rules = false;  // every rule of the partition table fits the sizes, on 2 and on 4 ranks
};

// All of them.
const std::vector<OpCase>& all_cases();

// The row's input values, exact in float32.
std::vector<Tensor> case_inputs(const OpCase& row);

}  // namespace synthesizer
