#include "data/train_vocabulary.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/philox.h"
#include "data/tokenizer.h"

namespace synthesizer {
namespace {

// SentencePiece leaves out sentences above 4192 bytes; longer lines are cut at white space.
constexpr size_t kLargestSentence = 2048;

// A uniform sample of the sentences that are added, in their order (Vitter, "Random Sampling with a Reservoir",
// algorithm R).
class Reservoir {
 public:
  Reservoir(int64_t capacity, uint64_t seed) : capacity_(capacity), key_(seed ^ hash_name("data.vocabulary_sample")) {}

  void add(std::string_view sentence) {
    const int64_t index = seen_++;
    if (index < capacity_) {
      kept_.emplace_back(index, sentence);
      return;
    }
    const PhiloxCounter words =
        philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0}, philox_key(key_));
    const auto place = static_cast<int64_t>(uniform_double(words[0], words[1]) * static_cast<double>(index + 1));
    if (place < capacity_) kept_[static_cast<size_t>(place)] = {index, std::string(sentence)};
  }

  int64_t seen() const { return seen_; }
  std::vector<std::string> take() {
    std::sort(kept_.begin(), kept_.end());
    std::vector<std::string> sentences;
    for (auto& [index, sentence] : kept_) sentences.push_back(std::move(sentence));
    kept_.clear();
    return sentences;
  }

 private:
  int64_t capacity_;
  uint64_t key_;
  int64_t seen_ = 0;
  std::vector<std::pair<int64_t, std::string>> kept_;
};

class Sentences : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const std::vector<std::string>& sentences) : sentences_(sentences) {}
  bool done() const override { return at_ == sentences_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return sentences_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& sentences_;
  size_t at_ = 0;
};

void add_line(std::string_view line, Reservoir& reservoir) {
  constexpr std::string_view kSpace = " \t\r";
  while (!line.empty()) {
    size_t part = line.size();
    if (part > kLargestSentence) {
      part = line.find_last_of(kSpace, kLargestSentence);
      if (part == std::string_view::npos || part == 0) part = std::min(line.find_first_of(kSpace, 1), line.size());
    }
    if (line.substr(0, part).find_first_not_of(kSpace) != std::string_view::npos) reservoir.add(line.substr(0, part));
    line.remove_prefix(part);
  }
}

void add_document(std::string_view text, Reservoir& reservoir) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    add_line(text.substr(0, end), reservoir);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string train(const VocabularyOptions& options, const std::vector<std::string>& sentences) {
  const std::unordered_map<std::string, std::string> settings = {
      {"model_type", "unigram"},
      {"vocab_size", fmt::format("{}", options.size)},
      {"pad_id", "0"},
      {"eos_id", "1"},
      {"unk_id", "2"},
      {"bos_id", "-1"},
      {"unk_piece", "<unk>"},
      {"num_threads", "16"},  // sums depend on how they are shared out, so on this number: the same on every machine
      {"minloglevel", "3"},
  };
  Sentences iterator(sentences);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &iterator, &model);
  if (!status.ok()) {
    // "Internal: file.cc(660) [condition] What is wrong."
    const std::string text = status.ToString();
    const size_t condition = text.find("] ");
    fail_usage("could not train a vocabulary of {} pieces on {} lines: {} Give more text or another --size",
               options.size, sentences.size(), condition == std::string::npos ? text : text.substr(condition + 2));
  }
  return model;
}

}  // namespace

VocabularyReport train_vocabulary(const VocabularyOptions& options, const VocabularyProgress& progress) {
  if (options.size < 4) fail_usage("--size: got {}, expected at least 4 pieces", options.size);
  if (std::filesystem::is_directory(options.output)) {
    fail_usage("--output {}: it is a folder, expected a file name", options.output.string());
  }
  if (options.output.empty()) fail_usage("--output: got no name, expected a file for the model");
  require_writable("--output", options.output.parent_path());
  CHECK(options.max_sentences >= 1, "max_sentences {}", options.max_sentences);
  VocabularyReport report;
  Reservoir reservoir(options.max_sentences, options.seed);
  for (const std::filesystem::path& file : expand_inputs(options.inputs)) {
    DocumentReader reader(file, options.source);
    for (RawDocument raw; reader.next(raw);) {
      add_document(parse_document(file, options.source, std::move(raw)), reservoir);
      ++report.documents;
      if (progress) progress("reading", report.documents);
    }
  }
  report.sentences = reservoir.seen();
  const std::vector<std::string> sentences = reservoir.take();
  report.sampled = static_cast<int64_t>(sentences.size());
  if (sentences.empty()) fail_usage("empty corpus: the input holds {} documents and no text", report.documents);
  if (progress) progress("training", report.documents);
  const std::string model = train(options, sentences);
  const std::filesystem::path folder = options.output.parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder);
  replace_text_file(options.output, model);
  report.sha256 = sha256_hex(model);
  report.pieces = options.size;
  return report;
}

}  // namespace synthesizer
