#include "tests/core/checkpoint/sample_checkpoint.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "core/base/hash.h"

namespace synthesizer {
namespace {

template <typename T>
void fill(std::vector<std::byte>& bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < bytes.size(); i += sizeof(T)) {
    const auto value = static_cast<T>(static_cast<double>(random() % 2000001) / 1000.0 - 1000.0);
    std::memcpy(bytes.data() + i, &value, sizeof value);
  }
}

// Copies the box out of the whole tensor into a buffer of its buffer shape, other places filled with 0xAA.
std::vector<std::byte> cut_out(const TensorBox& box, const std::vector<std::byte>& whole) {
  int64_t elements = 1;
  for (size_t i = 0; i < box.begin.size(); ++i)
    elements *= box.buffer_shape.empty() ? box.end[i] - box.begin[i] : box.buffer_shape[i];
  const int64_t width = size_of(box.dtype);
  std::vector<std::byte> buffer(static_cast<size_t>(elements * width), std::byte{0xAA});
  for_each_run(box, [&](int64_t from, int64_t to, int64_t count) {
    std::memcpy(buffer.data() + to * width, whole.data() + from * width, static_cast<size_t>(count * width));
  });
  return buffer;
}

}  // namespace

const std::vector<SampleTensor>& sample_tensors(CheckpointPart part) {
  static const std::vector<SampleTensor> model{{"embedding", DType::kFloat32, {33, 7}},
                                               {"encoder.0.attention.w1", DType::kFloat32, {7, 2, 5}},
                                               {"encoder.0.attention.w2", DType::kFloat32, {2, 5, 31}},
                                               {"encoder.0.norm", DType::kFloat32, {7}},
                                               {"encoder.0.alpha", DType::kFloat32, {}},
                                               {"table", DType::kInt32, {3, 1, 2, 4}}};
  static const std::vector<SampleTensor> optimizer{{"embedding.row", DType::kFloat64, {33}},
                                                   {"embedding.column", DType::kFloat32, {7}},
                                                   {"encoder.0.attention.w1.m", DType::kFloat64, {7, 2, 5}},
                                                   {"updates", DType::kInt64, {}}};
  return part == CheckpointPart::kModel ? model : optimizer;
}

std::vector<std::byte> sample_bytes(const SampleTensor& tensor, int64_t step) {
  int64_t elements = 1;
  for (const int64_t size : tensor.shape) elements *= size;
  std::vector<std::byte> bytes(static_cast<size_t>(elements * size_of(tensor.dtype)));
  const uint64_t seed = hash_name(tensor.name) + static_cast<uint64_t>(step);
  if (tensor.dtype == DType::kFloat32) fill<float>(bytes, seed);
  if (tensor.dtype == DType::kFloat64) fill<double>(bytes, seed);
  if (tensor.dtype == DType::kInt32) fill<int32_t>(bytes, seed);
  if (tensor.dtype == DType::kInt64) fill<int64_t>(bytes, seed);
  return bytes;
}

SampleSlices sample_slices(CheckpointPart part, int64_t step, int rank, int size, uint64_t seed) {
  SampleSlices sample;
  std::mt19937_64 random(seed);
  for (const SampleTensor& tensor : sample_tensors(part)) {
    TensorSlice slice{.box = TensorBox::whole(tensor.name, tensor.dtype, tensor.shape)};
    const uint64_t choice = random();
    if (tensor.shape.empty() || choice % 3 == 0) {
      slice.owner = static_cast<int>(choice / 3 % static_cast<uint64_t>(size)) == rank;
    } else {
      const size_t dim = choice / 3 % tensor.shape.size();
      std::vector<int64_t> cuts{0, tensor.shape[dim]};
      for (int i = 1; i < size; ++i)
        cuts.push_back(static_cast<int64_t>(random() % static_cast<uint64_t>(tensor.shape[dim] + 1)));
      std::sort(cuts.begin(), cuts.end());
      slice.box.begin[dim] = cuts[static_cast<size_t>(rank)];
      slice.box.end[dim] = cuts[static_cast<size_t>(rank) + 1];
    }
    if (choice % 5 == 0)
      for (size_t i = 0; i < tensor.shape.size(); ++i)
        slice.box.buffer_shape.push_back(slice.box.end[i] - slice.box.begin[i] + static_cast<int64_t>(i) + 1);
    sample.memory.push_back(cut_out(slice.box, sample_bytes(tensor, step)));
    slice.data = sample.memory.back().data();
    sample.slices.push_back(slice);
  }
  return sample;
}

CheckpointState sample_state(int64_t step) {
  return {.step = step,
          .epoch = step / 7,
          .example = step * 128,
          .seed = 0xFFFFFFFFFFFFFFFFu,
          .program_version = "1.2.3",
          .config = "steps: 1000\nname: \"a \\\"quoted\\\" name\"\n",
          .extra = {{"loss_scale", 0.1}, {"names", {"a", "b"}}}};
}

void begin_sample(CheckpointWriter& writer, int64_t step, Communicator& world, uint64_t seed) {
  const SampleSlices model = sample_slices(CheckpointPart::kModel, step, world.rank(), world.size(), seed);
  const SampleSlices optimizer = sample_slices(CheckpointPart::kOptimizer, step, world.rank(), world.size(), seed + 1);
  writer.begin(sample_state(step), model.slices, optimizer.slices);
}

void write_sample(const CheckpointFolder& folder, int64_t step, Communicator& world, uint64_t seed) {
  CheckpointWriter writer(folder, world);
  begin_sample(writer, step, world, seed);
  writer.finish();
}

bool is_sample(const CheckpointReader& reader) {
  for (const CheckpointPart part : kCheckpointParts) {
    for (const SampleTensor& tensor : sample_tensors(part)) {
      const std::vector<std::byte> expected = sample_bytes(tensor, reader.state().step);
      std::vector<std::byte> found(expected.size());
      reader.read(part, TensorBox::whole(tensor.name, tensor.dtype, tensor.shape), found.data());
      if (found != expected) return false;
    }
  }
  return true;
}

}  // namespace synthesizer
