// Checkpoints of made-up tensors: values that follow from (tensor, step, index), cut among ranks at random.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/checkpoint/reader.h"
#include "core/checkpoint/writer.h"
#include "core/graph/communicator.h"

namespace synthesizer {

struct SampleTensor {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;
};

// Odd shapes, scalars and ints among them; the optimizer's also float64.
const std::vector<SampleTensor>& sample_tensors(CheckpointPart part);

// All elements, in the tensor's dtype.
std::vector<std::byte> sample_bytes(const SampleTensor& tensor, int64_t step);

// One rank's slices and the memory they lie in. Which rank holds what is drawn from `seed`, the same on all ranks: a
// cut along some dim (some ranks with nothing), or replicas with one owner; some in buffers larger than the slice.
struct SampleSlices {
  std::vector<std::vector<std::byte>> memory;
  std::vector<TensorSlice> slices;
};
SampleSlices sample_slices(CheckpointPart part, int64_t step, int rank, int size, uint64_t seed);

CheckpointState sample_state(int64_t step);

// Collective: begins a checkpoint of the sample tensors.
void begin_sample(CheckpointWriter& writer, int64_t step, Communicator& world, uint64_t seed = 1);

// Collective: begins it and waits for it.
void write_sample(const CheckpointFolder& folder, int64_t step, Communicator& world, uint64_t seed = 1);

// Every tensor of the checkpoint is the sample of its step, bit by bit.
bool is_sample(const CheckpointReader& reader);

}  // namespace synthesizer
