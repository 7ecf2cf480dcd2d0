// Walking several tensors at once by named dims: neighbouring dims that all tensors walk alike become one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor/dims.h"

namespace synthesizer {

// The stride of `dim` in a dense tensor of this shape, 0 if it has none (the tensor is the same all along it).
int64_t stride_of(const Shape& shape, const std::string& dim);

// An index space of at most kMaxRank dims, the last fastest, with the strides of up to kTensors tensors in it.
struct Walk {
  static constexpr int kMaxRank = 12, kTensors = 4;
  int rank = 0;
  int64_t size[kMaxRank];
  int64_t stride[kTensors][kMaxRank];

  // The index space of `over` as the given shapes lie in it (a missing dim has stride 0).
  Walk() = default;
  Walk(const std::vector<Dim>& over, std::span<const Shape* const> shapes);

  // Makes one dim of neighbours that every tensor walks as one; drops dims of size 1.
  // The dim at index `apart`, if any, stays even with size 1, and joins none before it.
  void merge(int apart = -1);
  int64_t count() const;
  // Splits off the last dim: gives its size and strides (1 and 0 if there is none).
  int64_t take_last(int64_t (&strides)[kTensors]);

  // Offsets of the tensors at flat index `index`.
  constexpr void offsets(int64_t index, int64_t (&at)[kTensors]) const {
    for (int t = 0; t < kTensors; ++t) at[t] = 0;
    for (int d = rank; d-- > 0;) {
      const int64_t i = index % size[d];
      index /= size[d];
      for (int t = 0; t < kTensors; ++t) at[t] += i * stride[t][d];
    }
  }
  constexpr int64_t offset(int64_t index, int tensor) const {
    int64_t at = 0;
    for (int d = rank; d-- > 0;) {
      at += index % size[d] * stride[tensor][d];
      index /= size[d];
    }
    return at;
  }
};

}  // namespace synthesizer
