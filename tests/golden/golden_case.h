// One golden case: a safetensors file with a model's parameters, a batch, and the logits, loss and gradients that an
// independent float64 implementation of the same arithmetic gives. Its metadata is the model's configuration as JSON.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/model/model.h"

namespace synthesizer::golden {

struct Array {
  std::vector<int64_t> shape;
  std::vector<double> values;  // integers too
};

struct Case {
  std::string name;  // the file's, without extension
  ModelConfig config;
  LossConfig loss;
  std::map<std::string, Array> tensors;

  // Throws Error if the case has no such tensor.
  const Array& at(const std::string& tensor) const;
};

// The folder of cases: SYNTHESIZER_GOLDEN_DIR, else tests/golden.
std::filesystem::path folder();
// All cases of a folder, by name. Throws Error if there is none, or if one is not understood: an unknown field of its
// configuration, an unknown structure or attention, a tensor of another type.
std::vector<Case> load_cases(const std::filesystem::path& folder);

}  // namespace synthesizer::golden
