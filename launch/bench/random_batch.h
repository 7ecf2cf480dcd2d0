// A batch of random tokens, of one rank: what is measured with where no text is at hand.
#pragma once

#include <cstdint>
#include <vector>

#include "core/model/model.h"
#include "core/train/batch_source.h"

namespace synthesizer {

// One data rank's rows of a batch that every run draws alike.
class RandomBatch {
 public:
  // `shape` is the global batch's; its rows are shared out among `ranks`.
  RandomBatch(const BatchShape& shape, int64_t vocab, int rank, int ranks);
  const Batch& batch() const { return batch_; }

 private:
  std::vector<int32_t> inputs_, decoder_inputs_, targets_;
  std::vector<float> weights_;
  Batch batch_;
};

}  // namespace synthesizer
