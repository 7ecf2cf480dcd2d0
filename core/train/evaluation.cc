#include "core/train/evaluation.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/train/train_step.h"

namespace synthesizer {
namespace {

// Σ −p log p over the ids below `end`, p their share among themselves.
double entropy(const std::vector<int64_t>& counts, int64_t end, int64_t& total) {
  total = 0;
  for (int64_t id = 0; id < end; ++id) total += counts[static_cast<size_t>(id)];
  double sum = 0;
  for (int64_t id = 0; id < end; ++id) {
    const double p = static_cast<double>(counts[static_cast<size_t>(id)]) / static_cast<double>(total);
    if (p > 0) sum -= p * std::log(p);
  }
  return sum;
}

}  // namespace

NamedValues named_values(const EvaluationResult& result) {
  return {{"validation_loss", result.loss},
          {"validation_text_loss", result.text_loss},
          {"unigram_entropy", result.unigram_entropy},
          {"text_unigram_entropy", result.text_unigram_entropy},
          {"targets", static_cast<double>(result.targets)}};
}

Evaluation::Evaluation(std::unique_ptr<Graph> graph, const KernelTable& kernels, const AxisCommunicators& communicators,
                       StateStore& state, std::unique_ptr<BatchSource> source, Communicator* row_ranks,
                       EvaluationOptions options)
    : graph_(std::move(graph)),
      program_(*graph_, kernels, communicators, state),
      source_(std::move(source)),
      row_ranks_(row_ranks),
      options_(options),
      counts_(static_cast<size_t>(options.vocab)) {}

void Evaluation::add(const Batch& batch) {
  const auto part = static_cast<size_t>(program_.input_type("targets").shape.elements());
  const int64_t rows = program_.input_type("targets").shape.size(kBatch.name);
  for (size_t first = 0; first < batch.targets.size(); first += part) {
    feed(program_, batch, static_cast<int64_t>(first / part) * rows);
    program_.run();
    add_part(batch, first, part);
  }
}

void Evaluation::add_part(const Batch& batch, size_t first, size_t count) {
  const bool wide = program_.output_type("nll").dtype == DType::kFloat64;
  const int64_t length = program_.output_type("nll").shape.size("length");
  const size_t begin = static_cast<size_t>(options_.first_row * length) - first;
  for (size_t i = first; i < first + count; ++i) {
    if (batch.weights[i] == 0) continue;
    const double nll = wide ? program_.output<double>("nll")[begin + i] : program_.output<float>("nll")[begin + i];
    const int32_t target = batch.targets[i];
    CHECK(target >= 0 && target < options_.vocab, "target {} is outside the vocabulary of {}", target, options_.vocab);
    ++counts_[static_cast<size_t>(target)];
    sums_[0] += nll;
    if (target < options_.first_sentinel) sums_[1] += nll;
  }
}

EvaluationResult Evaluation::run() {
  sums_[0] = sums_[1] = 0;
  std::fill(counts_.begin(), counts_.end(), 0);
  source_->seek({});
  while (const Batch* batch = source_->next()) add(*batch);
  if (row_ranks_ != nullptr) {
    row_ranks_->all_reduce(sums_, 2, DType::kFloat64, Reduction::kSum);
    row_ranks_->all_reduce(counts_.data(), options_.vocab, DType::kInt64, Reduction::kSum);
  }
  EvaluationResult result;
  int64_t text_targets = 0;
  result.text_unigram_entropy =
      entropy(counts_, std::min<int64_t>(options_.first_sentinel, options_.vocab), text_targets);
  result.unigram_entropy = entropy(counts_, options_.vocab, result.targets);
  if (result.targets == 0) fail_usage("[eval] the validation data has no targets");
  result.loss = sums_[0] / static_cast<double>(result.targets);
  result.text_loss = text_targets == 0 ? 0 : sums_[1] / static_cast<double>(text_targets);
  return result;
}

}  // namespace synthesizer
