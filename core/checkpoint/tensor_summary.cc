#include "core/checkpoint/tensor_summary.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace synthesizer {

TensorSummary summarize(const SafetensorsReader& file, const StoredTensor& tensor) {
  constexpr int64_t kPiece = 1 << 16;
  TensorSummary summary;
  summary.elements = (tensor.end - tensor.begin) / size_of(tensor.type);
  std::vector<double> values(static_cast<size_t>(std::min(summary.elements, kPiece)));
  double squares = 0;
  for (int64_t begin = 0; begin < summary.elements; begin += kPiece) {
    const int64_t count = std::min(kPiece, summary.elements - begin);
    file.read_elements(tensor, begin, count, values.data());
    for (int64_t i = 0; i < count; ++i) {
      const double value = values[static_cast<size_t>(i)];
      if (!std::isfinite(value)) {
        ++summary.nonfinite;
        continue;
      }
      squares += value * value;
      summary.least = std::min(summary.least, value);
      summary.most = std::max(summary.most, value);
    }
  }
  summary.norm = std::sqrt(squares);
  return summary;
}

}  // namespace synthesizer
