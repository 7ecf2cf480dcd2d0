// The state of a run as a checkpoint sees it: which rank writes and reads which part of which whole tensor.
#pragma once

#include <vector>

#include "core/checkpoint/reader.h"
#include "core/checkpoint/slice.h"
#include "core/graph/communicator.h"
#include "core/graph/state_store.h"

namespace synthesizer {

// Which file a tensor belongs to: parameters and fixed tensors to the model's, optimizer state to the optimizer's.
CheckpointPart part_of(const StateTensor& tensor);

// This rank's part of every tensor of one file. A block that several ranks hold is shared out among them along its
// first dim, so that every element has one owner and the ranks write equally much.
std::vector<TensorSlice> slices_to_write(const StateStore& store, CheckpointPart part);

// Reads everything the store has of one file from a checkpoint. UsageError naming the tensors that are missing, left
// over or of another shape.
void read_state(const CheckpointReader& reader, StateStore& store, CheckpointPart part);

}  // namespace synthesizer
