#include "launch/bench/random_batch.h"

#include "core/base/philox.h"

namespace synthesizer {

RandomBatch::RandomBatch(const BatchShape& shape, int64_t vocab, int rank, int ranks) {
  const int64_t rows = shape.batch / ranks, first = rows * rank;
  const auto token = [&](uint32_t stream, int64_t index) {
    const auto words = philox({static_cast<uint32_t>(index), stream, 0, 0}, philox_key(1));
    return static_cast<int32_t>(1 + words[0] % static_cast<uint32_t>(vocab - 1));
  };
  for (int64_t i = first * shape.source_length; i < (first + rows) * shape.source_length; ++i)
    inputs_.push_back(token(0, i));
  for (int64_t i = first * shape.target_length; i < (first + rows) * shape.target_length; ++i) {
    decoder_inputs_.push_back(i % shape.target_length == 0 ? 0 : token(1, i - 1));
    targets_.push_back(token(1, i));
  }
  weights_.assign(targets_.size(), 1.0f);
  batch_ = {inputs_, decoder_inputs_, targets_, weights_, static_cast<double>(shape.batch * shape.target_length), {}};
}

}  // namespace synthesizer
