#include "core/checkpoint/state_slices.h"

#include "core/base/error.h"

namespace synthesizer {
namespace {

// The block of the whole tensor that the store holds.
TensorBox box_of(const StateTensor& tensor) {
  TensorBox box;
  box.name = tensor.name;
  box.dtype = tensor.type.dtype;
  for (size_t i = 0; i < tensor.block.whole.rank(); ++i) {
    box.whole_shape.push_back(tensor.block.whole.dims()[i].size);
    box.begin.push_back(tensor.block.begin[i]);
    box.end.push_back(tensor.block.begin[i] + tensor.type.shape.dims()[i].size);
  }
  return box;
}

TensorSlice share(const StateTensor& tensor, Device* device) {
  TensorSlice slice{box_of(tensor), tensor.data, true, device};
  const int64_t replica = tensor.block.replica, replicas = tensor.block.replicas;
  if (slice.box.whole_shape.empty()) {
    slice.owner = replica == 0;
    return slice;
  }
  const int64_t rows = tensor.type.shape.dims()[0].size, first = slice.box.begin[0];
  slice.box.begin[0] = first + rows * replica / replicas;
  slice.box.end[0] = first + rows * (replica + 1) / replicas;
  slice.data = tensor.data + tensor.type.bytes() / rows * (slice.box.begin[0] - first);
  return slice;
}

}  // namespace

CheckpointPart part_of(const StateTensor& tensor) {
  return tensor.kind == Leaf::Kind::kState ? CheckpointPart::kOptimizer : CheckpointPart::kModel;
}

std::vector<TensorSlice> slices_to_write(const StateStore& store, CheckpointPart part) {
  std::vector<TensorSlice> slices;
  for (const StateTensor& tensor : store.tensors())
    if (part_of(tensor) == part) slices.push_back(share(tensor, store.device()));
  return slices;
}

void read_state(const CheckpointReader& reader, StateStore& store, CheckpointPart part) {
  std::vector<TensorBox> boxes;
  for (const StateTensor& tensor : store.tensors())
    if (part_of(tensor) == part) boxes.push_back(box_of(tensor));
  reader.expect(part, boxes);
  store.write([&](const StateTensor& tensor, std::byte* data) {
    if (part_of(tensor) == part) reader.read(part, box_of(tensor), data);
  });
}

}  // namespace synthesizer
