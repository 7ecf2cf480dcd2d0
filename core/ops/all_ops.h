// The one list of all ops, by name. A new op is added here; then a device without a kernel for it, and the op tests
// without a row for it, fail.
#pragma once

#include <array>
#include <string_view>

#include "core/ops/functors.h"

namespace synthesizer {

enum class OpRole {
  kLeaf,        // given to a step, or a view: no kernel runs
  kCompute,     // a kernel of this rank alone
  kCollective,  // inserted by partition, with ranks to talk to
};

struct OpEntry {
  std::string_view name;
  OpRole role;
};

// All but the functions of one element, which core/ops/functors.h lists.
inline constexpr std::array kNamedOps = {
    OpEntry{"parameter", OpRole::kLeaf},
    OpEntry{"fixed", OpRole::kLeaf},
    OpEntry{"state", OpRole::kLeaf},
    OpEntry{"gathered", OpRole::kLeaf},
    OpEntry{"derived", OpRole::kLeaf},
    OpEntry{"input", OpRole::kLeaf},
    OpEntry{"reshape", OpRole::kLeaf},
    OpEntry{"constant", OpRole::kCompute},
    OpEntry{"einsum", OpRole::kCompute},
    OpEntry{"cast", OpRole::kCompute},
    OpEntry{"unary_gradient", OpRole::kCompute},
    OpEntry{"reduce_sum", OpRole::kCompute},
    OpEntry{"reduce_max", OpRole::kCompute},
    OpEntry{"sum_squares", OpRole::kCompute},
    OpEntry{"broadcast", OpRole::kCompute},
    OpEntry{"chain", OpRole::kCompute},
    OpEntry{"horizontal", OpRole::kCompute},
    OpEntry{"slice", OpRole::kCompute},
    OpEntry{"pad", OpRole::kCompute},
    OpEntry{"slice_at", OpRole::kCompute},
    OpEntry{"softmax", OpRole::kCompute},
    OpEntry{"softmax_gradient", OpRole::kCompute},
    OpEntry{"rms_norm", OpRole::kCompute},
    OpEntry{"rms_norm_gradient", OpRole::kCompute},
    OpEntry{"embedding", OpRole::kCompute},
    OpEntry{"embedding_gradient", OpRole::kCompute},
    OpEntry{"take", OpRole::kCompute},
    OpEntry{"take_gradient", OpRole::kCompute},
    OpEntry{"relative_bias", OpRole::kCompute},
    OpEntry{"relative_bias_gradient", OpRole::kCompute},
    OpEntry{"dropout", OpRole::kCompute},
    OpEntry{"linear_cross_entropy", OpRole::kCompute},
    OpEntry{"linear_cross_entropy_gradient", OpRole::kCompute},
    OpEntry{"shared_attention", OpRole::kCompute},
    OpEntry{"shared_attention_gradient", OpRole::kCompute},
    OpEntry{"shared_product", OpRole::kCompute},
    OpEntry{"shared_product_gradient", OpRole::kCompute},
    OpEntry{"dot_attention", OpRole::kCompute},
    OpEntry{"dot_attention_gradient", OpRole::kCompute},
    OpEntry{"unfold", OpRole::kCompute},
    OpEntry{"fold", OpRole::kCompute},
    OpEntry{"window", OpRole::kCompute},
    OpEntry{"window_gradient", OpRole::kCompute},
    OpEntry{"adamw", OpRole::kCompute},
    OpEntry{"assign", OpRole::kCompute},
    OpEntry{"accumulate", OpRole::kCompute},
    OpEntry{"keep_on_first", OpRole::kCompute},
    OpEntry{"all_reduce", OpRole::kCollective},
    OpEntry{"reduce_scatter", OpRole::kCollective},
    OpEntry{"all_gather", OpRole::kCollective},
    OpEntry{"all_to_all", OpRole::kCollective},
};

inline constexpr auto kAllOps = [] {
  std::array<OpEntry, kNamedOps.size() + functors::kUnaryFunctions + functors::kBinaryFunctions> all{};
  size_t i = 0;
  for (const OpEntry& op : kNamedOps) all[i++] = op;
  const auto add = [&]<typename F>() { all[i++] = {F::kName, OpRole::kCompute}; };
  functors::each_unary<functors::NoMath>(add);
  functors::each_binary<functors::NoMath>(add);
  return all;
}();

}  // namespace synthesizer
