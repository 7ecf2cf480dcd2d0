#include "core/kernels/geometry.h"

#include "core/base/error.h"

namespace synthesizer {

int64_t stride_of(const Shape& shape, const std::string& dim) {
  const int i = shape.find(dim);
  return i < 0 ? 0 : shape.strides()[static_cast<size_t>(i)];
}

Walk::Walk(const std::vector<Dim>& over, std::span<const Shape* const> shapes) {
  CHECK(over.size() <= kMaxRank && shapes.size() <= kTensors, "{} dims of {} tensors", over.size(), shapes.size());
  for (const Dim& dim : over) {
    size[rank] = dim.size;
    for (size_t t = 0; t < kTensors; ++t) stride[t][rank] = t < shapes.size() ? stride_of(*shapes[t], dim.name) : 0;
    ++rank;
  }
}

void Walk::merge(int apart) {
  int kept = 0, first = 0;  // dims before `first` are closed
  for (int d = 0; d < rank; ++d) {
    if (d == apart) first = kept;
    if (size[d] == 1 && d != apart) continue;
    bool joins = kept > first;
    for (int t = 0; joins && t < kTensors; ++t) joins = stride[t][kept - 1] == stride[t][d] * size[d];
    const int at = joins ? kept - 1 : kept++;
    size[at] = joins ? size[at] * size[d] : size[d];
    for (int t = 0; t < kTensors; ++t) stride[t][at] = stride[t][d];
  }
  rank = kept;
}

int64_t Walk::count() const {
  int64_t n = 1;
  for (int d = 0; d < rank; ++d) n *= size[d];
  return n;
}

int64_t Walk::take_last(int64_t (&strides)[kTensors]) {
  for (int t = 0; t < kTensors; ++t) strides[t] = rank > 0 ? stride[t][rank - 1] : 0;
  return rank > 0 ? size[--rank] : 1;
}

}  // namespace synthesizer
