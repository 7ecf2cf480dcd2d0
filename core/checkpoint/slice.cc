#include "core/checkpoint/slice.h"

#include "core/base/error.h"
#include "core/checkpoint/safetensors.h"

namespace synthesizer {
namespace {

std::vector<int64_t> row_major_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

}  // namespace

TensorBox TensorBox::whole(std::string name, DType dtype, std::vector<int64_t> shape) {
  return {std::move(name), dtype, shape, std::vector<int64_t>(shape.size(), 0), shape, {}};
}

int64_t TensorBox::elements() const {
  int64_t count = 1;
  for (size_t i = 0; i < begin.size(); ++i) count *= end[i] - begin[i];
  return count;
}

void TensorBox::check() const {
  const size_t rank = whole_shape.size();
  CHECK(begin.size() == rank && end.size() == rank && (buffer_shape.empty() || buffer_shape.size() == rank),
        "tensor {} of shape {}: box [{}, {}) in a buffer {}", name, shape_text(whole_shape), shape_text(begin),
        shape_text(end), shape_text(buffer_shape));
  for (size_t i = 0; i < rank; ++i) {
    CHECK(0 <= begin[i] && begin[i] <= end[i] && end[i] <= whole_shape[i], "tensor {} of shape {}: box [{}, {})", name,
          shape_text(whole_shape), shape_text(begin), shape_text(end));
    CHECK(buffer_shape.empty() || end[i] - begin[i] <= buffer_shape[i], "tensor {}: box [{}, {}) in a buffer {}", name,
          shape_text(begin), shape_text(end), shape_text(buffer_shape));
  }
}

void for_each_run(const TensorBox& box, const std::function<void(int64_t, int64_t, int64_t)>& visit) {
  box.check();
  if (box.elements() == 0) return;
  const size_t rank = box.whole_shape.size();
  std::vector<int64_t> extent(rank);
  for (size_t i = 0; i < rank; ++i) extent[i] = box.end[i] - box.begin[i];
  const std::vector<int64_t>& buffer = box.buffer_shape.empty() ? extent : box.buffer_shape;
  const std::vector<int64_t> whole_strides = row_major_strides(box.whole_shape);
  const std::vector<int64_t> buffer_strides = row_major_strides(buffer);

  // Dims [inner, rank) make one run: all of them but the outermost are whole, in the tensor and in the buffer.
  size_t inner = rank;
  int64_t run = 1;
  while (inner > 0) {
    --inner;
    run *= extent[inner];
    if (extent[inner] != box.whole_shape[inner] || extent[inner] != buffer[inner]) break;
  }
  std::vector<int64_t> index(inner, 0);
  int64_t whole_offset = 0;
  for (size_t i = 0; i < rank; ++i) whole_offset += box.begin[i] * whole_strides[i];
  int64_t buffer_offset = 0;
  while (true) {
    visit(whole_offset, buffer_offset, run);
    size_t i = inner;
    for (; i > 0; --i) {
      const size_t dim = i - 1;
      whole_offset += whole_strides[dim];
      buffer_offset += buffer_strides[dim];
      if (++index[dim] < extent[dim]) break;
      whole_offset -= extent[dim] * whole_strides[dim];
      buffer_offset -= extent[dim] * buffer_strides[dim];
      index[dim] = 0;
    }
    if (i == 0) return;
  }
}

}  // namespace synthesizer
