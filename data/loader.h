// Batches, ready before they are asked for: a thread reads windows, applies the objective and keeps a few batches
// filled in buffers that are made once. What a batch holds depends on (seed, position) alone, never on ranks or timing.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "data/corpus.h"
#include "data/objective.h"
#include "data/sampler.h"

namespace synthesizer {

enum class ExampleOrder {
  kShuffled,    // training: a permutation each epoch, epoch after epoch without end
  kSequential,  // evaluation: windows in order, once, masks of epoch 0; the last batch is filled up with rows of weight
                // 0
};

struct LoaderOptions {
  int64_t batch = 128;  // examples of the global batch
  // This rank's rows of it: [begin, end), then [begin + stride, end + stride) and so on, in `pieces` pieces.
  int64_t begin = 0;
  int64_t end = 128;
  int64_t pieces = 1;
  int64_t stride = 0;
  uint64_t seed = 1;
  ExampleOrder order = ExampleOrder::kShuffled;
  ExamplePosition start;
  int64_t max_batches = 0;  // sequential: at most this many; 0: all
  int prefetch = 4;         // batches kept ready
};

// This rank's rows of one global batch, row-major; valid until the next call of next() or seek().
struct ExampleBatch {
  std::span<const int32_t> inputs;          // [rows, input_length]; empty for a causal objective
  std::span<const int32_t> decoder_inputs;  // [rows, target_length]
  std::span<const int32_t> targets;         // [rows, target_length]
  std::span<const float> weights;           // [rows, target_length]
  std::span<const int32_t> segments;        // [rows, target_length] of packed rows, else empty
  int64_t rows = 0;
  int64_t live_targets = 0;         // of these rows
  int64_t global_live_targets = 0;  // of the whole batch, all ranks: the loss' denominator
  ExamplePosition position;         // of the global batch's first example
  ExamplePosition next;             // where a run that has used this batch goes on
};

class Loader {
 public:
  // Reads `range` of the corpus, which it alone uses from now on. UsageError: a range shorter than one window, rows
  // outside the batch.
  Loader(Corpus corpus, const CorpusRange& range, const Objective& objective, const LoaderOptions& options);
  ~Loader();
  Loader(Loader&&) noexcept;
  Loader& operator=(Loader&&) noexcept;

  // Gives the previous batch back and waits for the next one; null at the end of a sequential pass. Allocates nothing.
  // Rethrows what went wrong in the thread.
  const ExampleBatch* next();
  // Drops what is prepared and goes on from `position`: rewinds an evaluation with {}.
  void seek(ExamplePosition position);

  int64_t windows() const;  // examples of an epoch
  int64_t batches() const;  // of a sequential pass from its beginning
  const Objective& objective() const;
  // Rows that the thread has made so far, those of prepared batches included: what starting anywhere costs.
  int64_t rows_made() const;

 private:
  class Worker;
  std::unique_ptr<Worker> worker_;
};

}  // namespace synthesizer
