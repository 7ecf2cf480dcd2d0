#include "core/train/alignment.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/base/error.h"
#include "core/model/stack.h"
#include "core/train/train_step.h"

namespace synthesizer {
namespace {

template <typename T>
bool any_above_zero(std::span<const T> values) {
  return std::any_of(values.begin(), values.end(), [](T value) { return value > 0; });
}

// Row `row` of `rows` equal ones.
template <typename T>
std::span<const T> row_of(std::span<const T> values, size_t row, int64_t rows) {
  const size_t length = values.size() / static_cast<size_t>(rows);
  return values.subspan(row * length, length);
}

// Which positions of one example are looked at.
struct Live {
  std::vector<char> query, key;
  std::span<const int32_t> segments = {};  // of packed rows
  bool causal = false;
  bool sees(size_t q, size_t k) const {
    return key[k] != 0 && (!causal || k <= q) && (segments.empty() || segments[k] == segments[q]);
  }
};

// Of the encoder its inputs say what is padding, of the decoder the weights of its targets; keys before a live query of
// a decoder live too. `masked`: padded keys are not attended to.
Live live_positions(const std::string& stack, const Batch& batch, size_t row, int64_t rows, bool masked) {
  Live live;
  if (stack == "encoder") {
    for (const int32_t id : row_of(batch.inputs, row, rows)) live.query.push_back(id != 0);
  } else {
    for (const float weight : row_of(batch.weights, row, rows)) live.query.push_back(weight > 0);
    live.causal = true;
    live.segments = row_of(batch.segments, row, rows);
  }
  live.key = stack == "encoder" && masked ? live.query : std::vector<char>(live.query.size(), 1);
  return live;
}

// Adds the weights [heads, length, length] of one example; the mean is a sum so far.
template <typename T>
void add_weights(LayerAlignment& to, const T* weights, const Live& live) {
  const auto length = static_cast<size_t>(to.length);
  for (size_t head = 0; head < static_cast<size_t>(to.heads); ++head)
    for (size_t q = 0; q < length; ++q) {
      if (!live.query[q]) continue;
      const size_t at = (head * length + q) * length;
      for (size_t k = 0; k < length; ++k) {
        const auto weight = static_cast<double>(weights[at + k]);
        to.mean[at + k] += weight;
        if (live.sees(q, k)) ++to.histogram[static_cast<size_t>(weight_bin(weight))];
      }
    }
  for (size_t q = 0; q < length; ++q) to.lives[q] += live.query[q] != 0;
}

void divide_by_lives(LayerAlignment& alignment) {
  const auto length = static_cast<size_t>(alignment.length);
  for (size_t i = 0; i < alignment.mean.size(); ++i)
    if (const int64_t lives = alignment.lives[i / length % length]; lives > 1)
      alignment.mean[i] /= static_cast<double>(lives);
}

}  // namespace

AlignmentSurvey::AlignmentSurvey(const StepGraphOptions& options, const std::vector<int64_t>& layers,
                                 const KernelTable& kernels)
    : batch_(options.shape.batch),
      graph_(alignment_graph(options, layers)),
      state_(*graph_, kernels.device()),
      program_(*graph_, kernels, {}, state_) {
  for (const char* stack : {"encoder", "decoder"})
    for (const int64_t layer : layers)
      for (const auto& [name, ref] : graph_->outputs()) {
        const Shape& shape = graph_->type(ref).shape;
        if (name != alignment_output(stack, layer)) continue;
        if (shape.size(kLength.name) != shape.size(kMemoryLength.name)) continue;  // keys that are no positions
        LayerAlignment to{.stack = stack, .layer = layer};
        to.attention = (to.stack == "encoder" ? options.model.encoder : options.model.decoder).kind;
        to.heads = shape.size(kHeads.name);
        to.length = shape.size(kLength.name);
        to.shared = !shape.has(kBatch.name);
        to.lives.assign(static_cast<size_t>(to.length), 0);
        to.mean.assign(static_cast<size_t>(to.heads * to.length * to.length), 0);
        layers_.push_back(std::move(to));
      }
}

std::vector<size_t> AlignmentSurvey::live_rows(const Batch& batch, int64_t most) const {
  std::vector<size_t> rows;
  for (size_t row = 0; row < static_cast<size_t>(batch_) && static_cast<int64_t>(rows.size()) < most; ++row)
    if (any_above_zero(row_of(batch.weights, row, batch_))) rows.push_back(row);
  return rows;
}

void AlignmentSurvey::add(LayerAlignment& to, const Batch& batch, const std::vector<size_t>& rows) {
  const std::string name = alignment_output(to.stack, to.layer);
  const bool wide = program_.output_type(name).dtype == DType::kFloat64;
  const auto add_example = [&](size_t index, const Live& live) {
    const size_t begin = index * static_cast<size_t>(to.heads * to.length * to.length);
    if (wide)
      add_weights(to, program_.output<double>(name).data() + begin, live);
    else
      add_weights(to, program_.output<float>(name).data() + begin, live);
  };
  for (const size_t row : rows) {
    Live live = live_positions(to.stack, batch, row, batch_, program_.has_input("input_mask"));
    // What all share counts once for each query: where an earlier example had it, it is there.
    if (to.shared)
      for (size_t q = 0; q < live.query.size(); ++q) live.query[q] = live.query[q] != 0 && to.lives[q] == 0;
    add_example(to.shared ? 0 : row, live);
  }
}

std::vector<LayerAlignment> AlignmentSurvey::run(BatchSource& source, int64_t examples) {
  std::vector<LayerAlignment> found = layers_;
  source.seek({});
  while (examples > 0) {
    const Batch* batch = source.next();
    if (batch == nullptr) break;
    feed(program_, *batch);
    program_.run();
    const std::vector<size_t> rows = live_rows(*batch, examples);
    for (LayerAlignment& to : found) add(to, *batch, rows);
    examples -= static_cast<int64_t>(rows.size());
  }
  for (LayerAlignment& alignment : found) divide_by_lives(alignment);
  return found;
}

}  // namespace synthesizer
