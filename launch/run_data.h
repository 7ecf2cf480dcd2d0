// The text of a run: its shards opened and checked against the configuration, and the batches each rank gets of them.
#pragma once

#include <memory>
#include <string>

#include "configs/schema/run.pb.h"
#include "core/train/batch_source.h"
#include "data/corpus.h"
#include "data/loader.h"
#include "data/objective.h"

namespace synthesizer {

// This rank's rows of a global batch: [begin, end), and `pieces - 1` further ranges of as many, each `stride` rows on.
struct BatchRows {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t pieces = 1;
  int64_t stride = 0;

  int64_t count() const { return (end - begin) * pieces; }
};

class RunData {
 public:
  // UsageError: shards that are missing, unfinished or damaged, validation shards of another tokenizer, lengths that
  // the objective cannot have, a corpus that is too short.
  explicit RunData(const config::Run& run);

  const Tokenizer& tokenizer() const { return corpus_.tokenizer(); }
  const Objective& objective() const { return objective_; }
  // What the shards are, in one line: their number, tokens, tokenizer and a hash of their checksums. A run is resumed
  // only on equal ones.
  const std::string& fingerprint() const { return fingerprint_; }

  // Examples without end, in the run's order.
  std::unique_ptr<BatchSource> training(BatchRows rows) const;
  // One pass over held-out examples, at most `batches` batches (0: all).
  std::unique_ptr<BatchSource> validation(BatchRows rows, int64_t batches) const;

 private:
  std::unique_ptr<BatchSource> source(const std::string& folder, const CorpusRange& range,
                                      const LoaderOptions& options) const;

  config::Data config_;
  uint64_t seed_;
  Corpus corpus_;
  Objective objective_;
  std::string fingerprint_;
  CorpusRange training_;
  CorpusRange validation_;
  std::string validation_folder_;
};

}  // namespace synthesizer
