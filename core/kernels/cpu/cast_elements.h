// One rounding for every kernel that gives elements in another type than they were calculated in: the op `cast` and the
// updates that keep a bf16 copy of what they write must not differ by a bit.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/kernels/cpu/loops/loops.h"
#include "core/tensor/bfloat16.h"

namespace synthesizer {

template <typename From, typename To>
void cast_elements(const LoopTables& loops, const From* x, To* y, int64_t n) {
  if constexpr (std::is_same_v<From, float> && std::is_same_v<To, BFloat16>) {
    loops.bf16.store(x, y, n);
  } else if constexpr (std::is_same_v<From, BFloat16> && std::is_same_v<To, float>) {
    loops.bf16.load(x, y, n);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = rounded<To>(widened(x[i]));
  }
}

}  // namespace synthesizer
