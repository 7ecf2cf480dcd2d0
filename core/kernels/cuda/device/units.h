// Elements that are moved and not looked at: by the widest unit of bytes that fits rows and their strides.
#pragma once

#include "core/kernels/cuda/device/device_code.h"

namespace synthesizer::cuda {

// Calls f with a unit (an object of its type) whose size divides `bytes`, an even number.
template <typename F>
void with_unit(int64_t bytes, const F& f) {
  if (bytes % 16 == 0) return f(Pack<uint32_t, 4>{});
  if (bytes % 8 == 0) return f(Pack<uint32_t, 2>{});
  if (bytes % 4 == 0) return f(Pack<uint32_t, 1>{});
  f(Pack<uint16_t, 1>{});
}

template <typename Unit>
__device__ inline Unit unit_of(int byte) {
  Unit made;
  for (auto& word : made.at)
    word = static_cast<std::decay_t<decltype(word)>>(0x01010101u * static_cast<unsigned>(byte));
  return made;
}

struct RowColumn {
  int64_t row, column;
};
// index = row · width + column. (Division of 32 bits is several times as fast as that of 64.)
__device__ inline RowColumn row_and_column(int64_t index, int64_t width) {
  if (((index | width) >> 32) == 0) {
    const auto i = static_cast<uint32_t>(index), w = static_cast<uint32_t>(width), row = i / w;
    return {row, i - row * w};
  }
  const int64_t row = index / width;
  return {row, index - row * width};
}

}  // namespace synthesizer::cuda
