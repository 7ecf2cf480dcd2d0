// What a stored tensor holds, in figures. It is read in pieces: memory does not grow with the tensor.
#pragma once

#include <cstdint>
#include <limits>

#include "core/checkpoint/safetensors.h"

namespace synthesizer {

struct TensorSummary {
  int64_t elements = 0;
  int64_t nonfinite = 0;  // NaN or infinite; the rest speaks of the finite ones
  double norm = 0;        // the root of the sum of squares, added up in double
  double least = std::numeric_limits<double>::infinity();
  double most = -std::numeric_limits<double>::infinity();  // below `least`: there is no finite element
};

// Throws Error for bytes that cannot be read.
TensorSummary summarize(const SafetensorsReader& file, const StoredTensor& tensor);

}  // namespace synthesizer
