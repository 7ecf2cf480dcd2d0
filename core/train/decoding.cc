#include "core/train/decoding.h"

#include <algorithm>

#include "core/base/error.h"

namespace synthesizer {

GreedyDecoder::GreedyDecoder(const StepGraphOptions& options, const KernelTable& kernels, StateStore& state)
    : shape_(options.shape),
      has_encoder_(options.model.structure == Structure::kEncoderDecoder),
      graph_(decoding_graph(options)),
      program_(*graph_, kernels, {}, state) {}

std::vector<std::vector<int32_t>> GreedyDecoder::decode(const std::vector<std::vector<int32_t>>& inputs,
                                                        int32_t end_of_text, int64_t vocab) {
  std::vector<std::vector<int32_t>> outputs;
  const size_t batch = static_cast<size_t>(shape_.batch);
  for (size_t begin = 0; begin < inputs.size(); begin += batch) {
    const size_t count = std::min(batch, inputs.size() - begin);
    for (auto& row : decode_batch(std::span(inputs).subspan(begin, count), end_of_text, vocab))
      outputs.push_back(std::move(row));
  }
  return outputs;
}

int32_t GreedyDecoder::best_token(int64_t row, int64_t vocab) {
  const auto best = [&](auto logits) {
    const auto begin = logits.begin() + row * program_.output_type("next_logits").shape.size("vocab");
    return static_cast<int32_t>(std::max_element(begin, begin + vocab) - begin);
  };
  if (program_.output_type("next_logits").dtype == DType::kFloat64) return best(program_.output<double>("next_logits"));
  return best(program_.output<float>("next_logits"));
}

std::vector<std::vector<int32_t>> GreedyDecoder::decode_batch(std::span<const std::vector<int32_t>> inputs,
                                                              int32_t end_of_text, int64_t vocab) {
  const int64_t limit = has_encoder_ ? shape_.source_length : shape_.target_length - 1;
  const auto decoder_inputs = program_.input<int32_t>("decoder_inputs");
  std::fill(decoder_inputs.begin(), decoder_inputs.end(), 0);
  std::vector<int64_t> given(inputs.size(), 0);  // tokens of the decoder that are not to be chosen
  for (size_t row = 0; row < inputs.size(); ++row) {
    const auto size = static_cast<int64_t>(inputs[row].size());
    if (size > limit) fail_usage("[generate] input {} has {} tokens: at most {} fit", row + 1, size, limit);
    const auto at = static_cast<int64_t>(row);
    if (!has_encoder_) {
      std::copy(inputs[row].begin(), inputs[row].end(), decoder_inputs.begin() + at * shape_.target_length + 1);
      given[row] = size;
    }
  }
  if (has_encoder_) {
    const auto encoder_inputs = program_.input<int32_t>("inputs");
    std::fill(encoder_inputs.begin(), encoder_inputs.end(), 0);
    for (size_t row = 0; row < inputs.size(); ++row)
      std::copy(inputs[row].begin(), inputs[row].end(),
                encoder_inputs.begin() + static_cast<int64_t>(row) * shape_.source_length);
    if (program_.has_input("input_mask"))
      std::transform(encoder_inputs.begin(), encoder_inputs.end(), program_.input<int32_t>("input_mask").begin(),
                     [](int32_t id) { return id == 0 ? 0 : 1; });
  }
  std::vector<std::vector<int32_t>> outputs(inputs.size());
  std::vector<char> ended(inputs.size(), 0);
  const int64_t first = inputs.empty() ? 0 : *std::min_element(given.begin(), given.end());
  for (int64_t position = first; position < shape_.target_length; ++position) {
    program_.input<int64_t>("position")[0] = position;
    program_.run();
    for (size_t row = 0; row < inputs.size(); ++row) {
      if (ended[row] || position < given[row]) continue;
      const int32_t token = best_token(static_cast<int64_t>(row), vocab);
      if (token == end_of_text) {
        ended[row] = 1;
        continue;
      }
      outputs[row].push_back(token);
      if (position + 1 < shape_.target_length)
        decoder_inputs[static_cast<size_t>(static_cast<int64_t>(row) * shape_.target_length + position + 1)] = token;
    }
    if (std::all_of(ended.begin(), ended.end(), [](char e) { return e != 0; })) break;
  }
  return outputs;
}

}  // namespace synthesizer
