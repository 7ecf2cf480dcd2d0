// Checkpoints whose tensors were changed by someone who keeps all checksums right.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/checkpoint/safetensors.h"
#include "tests/launch/wrong/wrong.h"

namespace synthesizer {

struct EditedTensor {
  StoredType type = StoredType::kF32;
  std::vector<int64_t> shape;
  std::string bytes;
};
using EditedTensors = std::map<std::string, EditedTensor>;

// Rewrites model.safetensors of the checkpoint, and its checksums in state.json.
Preparation edit_model(const std::string& checkpoint, const std::function<void(EditedTensors&)>& edit);

}  // namespace synthesizer
