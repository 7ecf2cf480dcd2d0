#include "launch/run_data.h"

#include <fmt/format.h>

#include <utility>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "launch/config/convert.h"

namespace synthesizer {
namespace {

// The trainer's view of a loader.
class LoaderSource : public BatchSource {
 public:
  explicit LoaderSource(Loader loader) : loader_(std::move(loader)) {}

  const Batch* next() override {
    const ExampleBatch* from = loader_.next();
    if (from == nullptr) return nullptr;
    batch_ = {from->inputs,
              from->decoder_inputs,
              from->targets,
              from->weights,
              static_cast<double>(from->global_live_targets),
              {from->next.epoch, from->next.example},
              from->segments};
    return &batch_;
  }

  void seek(DataPosition position) override { loader_.seek({position.epoch, position.example}); }

 private:
  Loader loader_;
  Batch batch_;
};

Vocabulary vocabulary_of(const Corpus& corpus, const config::Data& data) {
  Vocabulary vocabulary = corpus.tokenizer().vocabulary();
  vocabulary.sentinels = data.sentinels();
  return vocabulary;
}

std::string describe(const Corpus& corpus) {
  std::string checksums;
  for (const ShardRecord& shard : corpus.manifest().shards)
    checksums += fmt::format("{} {:016x}\n", shard.file, shard.xxh3);
  return fmt::format("{} shard(s), {} tokens, {:016x}, tokenizer {:.16}", corpus.manifest().shards.size(),
                     corpus.tokens(), hash_name(checksums), corpus.tokenizer().sha256());
}

void check_same_tokenizer(const Corpus& training, const Corpus& validation) {
  if (training.tokenizer().sha256() != validation.tokenizer().sha256())
    fail_usage("data.validation: {} was built with another tokenizer: got {:.16}…, expected {:.16}… of {}",
               validation.folder().string(), validation.tokenizer().sha256(), training.tokenizer().sha256(),
               training.folder().string());
}

}  // namespace

RunData::RunData(const config::Run& run)
    : config_(run.data()),
      seed_(run.seed()),
      corpus_(config_.shards()),
      objective_(objective_options(config_), vocabulary_of(corpus_, config_)),
      fingerprint_(describe(corpus_)),
      validation_folder_(config_.validation().empty() ? config_.shards() : config_.validation()) {
  if (config_.validation().empty()) {
    const CorpusSplit split = split_corpus(corpus_);
    training_ = split.training;
    validation_ = split.validation;
  } else {
    Corpus held_out(validation_folder_);
    check_same_tokenizer(corpus_, held_out);
    fingerprint_ += "; validation " + describe(held_out);
    training_ = corpus_.all();
    validation_ = held_out.all();
  }
  for (const auto& [name, range] : {std::pair{"training", training_}, std::pair{"validation", validation_}})
    if (range.tokens() < objective_.raw_length())
      fail_usage(
          "data.shards: {} has {} tokens for {}, expected at least the {} of one example. Give more text, or a smaller "
          "input_length",
          config_.shards(), range.tokens(), name, objective_.raw_length());
}

std::unique_ptr<BatchSource> RunData::source(const std::string& folder, const CorpusRange& range,
                                             const LoaderOptions& options) const {
  return std::make_unique<LoaderSource>(Loader(Corpus(folder), range, objective_, options));
}

std::unique_ptr<BatchSource> RunData::training(BatchRows rows) const {
  LoaderOptions options;
  options.batch = config_.batch();
  options.begin = rows.begin;
  options.end = rows.end;
  options.pieces = rows.pieces;
  options.stride = rows.stride;
  options.seed = seed_;
  return source(config_.shards(), training_, options);
}

std::unique_ptr<BatchSource> RunData::validation(BatchRows rows, int64_t batches) const {
  LoaderOptions options;
  options.batch = config_.batch();
  options.begin = rows.begin;
  options.end = rows.end;
  options.pieces = rows.pieces;
  options.stride = rows.stride;
  options.seed = seed_;
  options.order = ExampleOrder::kSequential;
  options.max_batches = batches;
  return source(validation_folder_, validation_, options);
}

}  // namespace synthesizer
