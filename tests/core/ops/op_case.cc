#include "tests/core/ops/op_case.h"

#include <cmath>

#include "core/base/hash.h"

namespace synthesizer {

// Rows, a file a family.
std::vector<OpCase> elementwise_cases();
std::vector<OpCase> chain_cases();
std::vector<OpCase> product_cases();
std::vector<OpCase> reduce_cases();
std::vector<OpCase> shape_cases();
std::vector<OpCase> normal_cases();
std::vector<OpCase> embedding_cases();
std::vector<OpCase> dropout_cases();
std::vector<OpCase> cross_entropy_cases();
std::vector<OpCase> shared_attention_cases();
std::vector<OpCase> shared_product_cases();
std::vector<OpCase> dot_attention_cases();
std::vector<OpCase> update_cases();
std::vector<OpCase> horizontal_cases();
std::vector<OpCase> window_cases();
std::vector<OpCase> take_cases();
std::vector<OpCase> leaf_cases();

const std::vector<OpCase>& all_cases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> all;
    for (const auto family :
         {elementwise_cases, chain_cases, product_cases, reduce_cases, shape_cases, normal_cases, embedding_cases,
          dropout_cases, cross_entropy_cases, shared_attention_cases, shared_product_cases, dot_attention_cases,
          update_cases, horizontal_cases, window_cases, take_cases, leaf_cases})
      for (OpCase& row : family()) all.push_back(std::move(row));
    return all;
  }();
  return cases;
}

std::vector<Tensor> case_inputs(const OpCase& row) {
  std::vector<Tensor> tensors;
  for (const OpInput& in : row.inputs) {
    Tensor tensor(in.shape);
    const uint64_t stream = hash_name(row.op + in.name);
    for (size_t e = 0; e < tensor.data.size(); ++e) {
      const double random = random01(stream, e);
      if (!is_floating(in.dtype)) {
        tensor.data[e] = in.low + std::floor(random * (in.high - in.low + 1));
        continue;
      }
      double value = in.low + random * (in.high - in.low);
      for (const double kink : in.kinks)
        if (std::abs(value - kink) < 0.01) value = kink + (value < kink ? -0.01 : 0.01);
      tensor.data[e] = static_cast<float>(value);
    }
    tensors.push_back(std::move(tensor));
  }
  if (row.adjust) row.adjust(tensors);
  return tensors;
}

}  // namespace synthesizer
