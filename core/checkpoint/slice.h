// The part of a whole, logical tensor that one rank holds, and where its elements lie in the whole.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/tensor/device.h"
#include "core/tensor/dtype.h"

namespace synthesizer {

// [begin, end) of each dimension of a tensor of `whole_shape`, row-major; all empty for a scalar.
struct TensorBox {
  std::string name;
  DType dtype = DType::kFloat32;
  std::vector<int64_t> whole_shape;
  std::vector<int64_t> begin;
  std::vector<int64_t> end;
  // Shape of the memory the box lies in, at its start, where that is larger than the box (a padded vocabulary); empty:
  // memory is exactly the box.
  std::vector<int64_t> buffer_shape;

  // The whole tensor as one box.
  static TensorBox whole(std::string name, DType dtype, std::vector<int64_t> shape);

  // Elements in the box; 0 where it is empty.
  int64_t elements() const;
  // Throws Error naming the tensor unless 0 <= begin <= end <= whole_shape and the buffer holds the box.
  void check() const;
};

// What a rank gives to a checkpoint. Every rank names every tensor, with an empty box where it holds nothing.
struct TensorSlice {
  TensorBox box;
  const void* data = nullptr;  // dense in box.buffer_shape
  bool owner = true;           // false: another rank writes the same elements (replicas)
  Device* device = nullptr;    // whose memory it is; null: the host's
};

// Calls visit(offset in the whole, offset in the buffer, count), in elements, for each longest run of elements that are
// contiguous in both; in the order of the whole.
void for_each_run(const TensorBox& box, const std::function<void(int64_t, int64_t, int64_t)>& visit);

}  // namespace synthesizer
