// Values for products: in [-0.5, 0.5), the same wherever they are drawn.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/philox.h"
#include "core/tensor/bfloat16.h"

namespace synthesizer {

template <typename T>
std::vector<T> random_values(int64_t count, uint32_t stream) {
  std::vector<T> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = rounded<T>(uniform_float(philox({static_cast<uint32_t>(i), stream, 0, 0}, {})[0]) - 0.5f);
  return values;
}

}  // namespace synthesizer
