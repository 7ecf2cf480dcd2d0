#include "core/kernels/dropout_mask.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/philox.h"
#include "core/kernels/geometry.h"

namespace synthesizer {

DropoutKey::DropoutKey(const Dropout& op)
    : name_low(static_cast<uint32_t>(op.name_hash())),
      threshold(static_cast<uint32_t>(std::ceil(op.rate() * 16777216.0))),
      scale(1.0 / (1.0 - op.rate())) {
  const PhiloxKey key = philox_key(op.seed() ^ (op.name_hash() >> 32 << 32));
  key0 = key[0];
  key1 = key[1];
}

WholeMask::WholeMask(const Dropout& op, const Shape& x) {
  std::vector<Dim> dims;
  std::vector<int64_t> begin;
  for (size_t i = 0; i < op.block().whole.rank(); ++i) {
    const Dim& dim = op.block().whole.dims()[i];
    if (std::find(op.shared().begin(), op.shared().end(), dim.name) != op.shared().end()) continue;
    dims.push_back(dim);
    begin.push_back(op.block().begin[i]);
  }
  int64_t rows_between = 0;
  const MicroBatches& parts = op.micro_batches();
  const auto batch = std::find_if(dims.begin(), dims.end(), [](const Dim& dim) { return dim.name == kBatch.name; });
  if (parts.count > 1 && batch != dims.end()) {
    rows_between = parts.interleaved ? batch->size : x.size(kBatch.name);
    batch->size *= parts.count;
    if (!parts.interleaved) begin[static_cast<size_t>(batch - dims.begin())] *= parts.count;
  }
  shape = Shape(dims);
  const std::vector<int64_t> strides = shape.strides();
  for (size_t i = 0; i < dims.size(); ++i) first += begin[i] * strides[i];
  between_micro_batches = rows_between * stride_of(shape, kBatch.name);
}

}  // namespace synthesizer
