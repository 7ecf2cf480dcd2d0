#include "launch/text_lines.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <span>

#include "core/base/error.h"
#include "data/utf8.h"

namespace synthesizer {
namespace {

constexpr size_t kShortest = 2;  // tokens that an objective can make an example of

class LineExamples : public BatchSource {
 public:
  LineExamples(std::vector<std::vector<int32_t>> windows, const Objective& objective, uint64_t seed, int64_t batch)
      : windows_(std::move(windows)),
        objective_(objective),
        seed_(seed),
        rows_(static_cast<size_t>(batch)),
        inputs_(rows_ * static_cast<size_t>(objective.input_length())),
        decoder_inputs_(rows_ * static_cast<size_t>(objective.target_length())),
        targets_(decoder_inputs_.size()),
        weights_(decoder_inputs_.size()),
        segments_(rows_ * static_cast<size_t>(objective.segments_length())) {}

  const Batch* next() override {
    if (next_ >= windows_.size()) return nullptr;
    for (size_t row = 0; row < rows_; ++row) {
      const ExampleRow to{of_row(inputs_, row), of_row(decoder_inputs_, row), of_row(targets_, row),
                          of_row(weights_, row), of_row(segments_, row)};
      const size_t example = next_ + row;
      if (example < windows_.size())
        objective_.make(windows_[example], {seed_, 0, static_cast<int64_t>(example)}, to);
      else
        objective_.make_filler(to);
    }
    next_ = std::min(next_ + rows_, windows_.size());
    batch_ = {inputs_, decoder_inputs_, targets_, weights_, 0, {0, static_cast<int64_t>(next_)}, segments_};
    for (const float weight : weights_) batch_.denominator += static_cast<double>(weight);
    return &batch_;
  }

  void seek(DataPosition position) override { next_ = static_cast<size_t>(position.example); }

 private:
  template <typename T>
  std::span<T> of_row(std::vector<T>& all, size_t row) const {
    const size_t length = all.size() / rows_;
    return std::span(all).subspan(row * length, length);
  }

  std::vector<std::vector<int32_t>> windows_;
  Objective objective_;
  uint64_t seed_;
  size_t rows_;
  std::vector<int32_t> inputs_, decoder_inputs_, targets_;
  std::vector<float> weights_;
  std::vector<int32_t> segments_;
  Batch batch_;
  size_t next_ = 0;
};

}  // namespace

std::vector<std::string> read_lines(const std::string& input) {
  std::ifstream file;
  if (input != "-") {
    if (std::filesystem::is_directory(input)) fail_usage("--input {}: it is a folder, expected a file of lines", input);
    file.open(input);
    if (!file)
      fail_usage("--input {}: cannot be read: {}. Give a file of lines, or - for stdin", input, std::strerror(errno));
  }
  std::istream& in = input == "-" ? std::cin : file;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (const auto bad = find_invalid_utf8(line))
      fail_usage("--input {}: line {}: not UTF-8 at byte {}", input, lines.size() + 1, *bad);
    lines.push_back(line);
  }
  if (in.bad()) fail_usage("--input {}: cannot be read beyond line {}", input, lines.size());
  return lines;
}

std::unique_ptr<BatchSource> line_examples(const std::vector<std::string>& lines, const Tokenizer& tokenizer,
                                           const Objective& objective, uint64_t seed, int64_t batch) {
  const auto most = static_cast<size_t>(objective.raw_length());
  std::vector<std::vector<int32_t>> windows;
  for (const std::string& line : lines) {
    std::vector<int32_t> tokens;
    tokenizer.encode(line, tokens);
    if (!tokens.empty()) tokens.push_back(objective.vocabulary().eos);
    for (size_t begin = 0; begin + kShortest <= tokens.size(); begin += most) {
      const auto from = tokens.begin() + static_cast<std::ptrdiff_t>(begin);
      windows.emplace_back(from, from + static_cast<std::ptrdiff_t>(std::min(most, tokens.size() - begin)));
    }
  }
  if (windows.empty()) fail_usage("--input: no text in it, expected lines of text");
  return std::make_unique<LineExamples>(std::move(windows), objective, seed, batch);
}

}  // namespace synthesizer
