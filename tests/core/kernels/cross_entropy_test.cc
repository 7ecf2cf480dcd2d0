// The output layer and its loss in blocks, against the whole logits; more rows and words than one block holds.
#include "core/ops/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

struct Sizes {
  int64_t rows, model, vocab, true_vocab;
  bool model_first;  // the table is [model, vocab]
  int64_t blocks = 1;

  VocabularyPart part() const { return {true_vocab, 0, blocks}; }
};

double table_at(const Sizes& s, const Tensor& table, int64_t word, int64_t feature) {
  return s.model_first ? table[feature * s.vocab + word] : table[word * s.model + feature];
}

std::vector<double> logits(const Sizes& s, const Tensors& in, int64_t row) {
  std::vector<double> l(static_cast<size_t>(s.true_vocab));
  for (int64_t word = 0; word < s.true_vocab; ++word)
    for (int64_t i = 0; i < s.model; ++i)
      l[static_cast<size_t>(word)] += in[0][row * s.model + i] * table_at(s, in[1], word, i);
  return l;
}

void forward(const Sizes& s, bool mean, const Tensors& in, Tensors& out) {
  for (int64_t row = 0; row < s.rows; ++row) {
    const std::vector<double> l = logits(s, in, row);
    double largest = -1e300, total = 0;
    for (const double v : l) largest = std::max(largest, v), total += v;
    std::vector<double> sums(static_cast<size_t>(s.blocks));
    for (size_t v = 0; v < l.size(); ++v) sums[v / static_cast<size_t>(s.vocab / s.blocks)] += std::exp(l[v] - largest);
    for (int64_t b = 0; b < s.blocks; ++b) {
      const double sum = sums[static_cast<size_t>(b)];
      out[0][row * s.blocks + b] = sum == 0 ? LinearCrossEntropy::kNoWords : largest + std::log(sum);
    }
    out[3][row] = largest;
    out[1][row] = l[static_cast<size_t>(in[2][row])];
    if (mean) out[2][row] = total / static_cast<double>(s.true_vocab);
  }
}

void backward(const Sizes& s, bool mean, const Tensors& in, Tensors& out) {
  for (int64_t row = 0; row < s.rows; ++row) {
    const std::vector<double> l = logits(s, in, row);
    for (int64_t word = 0; word < s.true_vocab; ++word) {
      const int64_t block = row * s.blocks + word / (s.vocab / s.blocks);
      const double d = in[4][block] * std::exp(l[static_cast<size_t>(word)] - in[3][block]) +
                       (in[2][row] == static_cast<double>(word) ? in[5][row] : 0) +
                       (mean ? in[6][row] / static_cast<double>(s.true_vocab) : 0);
      for (int64_t i = 0; i < s.model; ++i) {
        out[0][row * s.model + i] += d * table_at(s, in[1], word, i);
        out[1][s.model_first ? i * s.vocab + word : word * s.model + i] += d * in[0][row * s.model + i];
      }
    }
  }
}

TEST(LinearCrossEntropy, ForwardAndGradient) {
  const Sizes sizes[] = {{1, 1, 1, 1, false},         {5, 3, 7, 6, true},
                         {31, 33, 40, 33, false},     {33, 17, 1100, 1025, false},
                         {33, 17, 1100, 1025, true},  {1057, 9, 2050, 2049, false},
                         {1057, 9, 1031, 1030, true}, {1057, 9, 2080, 2049, false, 32},
                         {33, 5, 1032, 900, true, 8}};
  for (const Sizes& s : sizes) {
    for (const bool mean : {false, true}) {
      const Shape rows{kBatch(1), kLength(s.rows)};
      const Tensor x = random_tensor(Shape{kBatch(1), kLength(s.rows), kModel(s.model)}, 61, -2, 2);
      const Tensor table = random_tensor(
          s.model_first ? Shape{kModel(s.model), kVocab(s.vocab)} : Shape{kVocab(s.vocab), kModel(s.model)}, 62, -2, 2);
      Tensor targets = integers(rows, {});
      for (int64_t i = 0; i < s.rows; ++i) targets.values.push_back(static_cast<double>(i * 97 % s.true_vocab));
      const auto reference = [&](const Tensors& in, Tensors& out) { forward(s, mean, in, out); };
      check_kernel(LinearCrossEntropy(s.part(), {mean}), {x, table, targets}, reference, {5e-6, 1e-13, false});

      const Shape by_block{kBatch(1), kLength(s.rows), kVocab(s.blocks)};
      const Tensor zeros{{DType::kFloat64, rows}, std::vector<double>(static_cast<size_t>(s.rows))};
      Tensors forth{{{DType::kFloat64, by_block}, std::vector<double>(static_cast<size_t>(s.rows * s.blocks))},
                    zeros,
                    zeros,
                    zeros};
      forward(s, mean, {x, table, targets}, forth);
      Tensors inputs{x, table, targets, forth[0], random_tensor(by_block, 63), random_tensor(rows, 64)};
      if (mean) inputs.push_back(random_tensor(rows, 65));
      const auto gradient = [&](const Tensors& in, Tensors& out) { backward(s, mean, in, out); };
      check_kernel(LinearCrossEntropyGradient(s.part(), {mean}), inputs, gradient, {1e-5, 1e-12, false});
    }
  }
}

// Whether backward has the weights from forward or makes the logits again: the same bits.
TEST(LinearCrossEntropy, KeptWeightsAndThoseMadeAgainGiveTheSameBits) {
  const Sizes sizes[] = {{33, 17, 1100, 1025, false, 10}, {1057, 9, 2080, 2049, true, 32}, {7, 40, 96, 96, false, 1}};
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kBFloat16})
    for (const Sizes& s : sizes) {
      const DType wide = compute_type(dtype);
      const Shape rows{kLength(s.rows)}, by_block{kLength(s.rows), kVocab(s.blocks)};
      const Tensor x = as_type({random_tensor(Shape{kLength(s.rows), kModel(s.model)}, 61, -2, 2)}, dtype)[0];
      Tensor targets = integers(rows, {});
      for (int64_t i = 0; i < s.rows; ++i) targets.values.push_back(static_cast<double>(i * 97 % s.true_vocab));
      const Shape table =
          s.model_first ? Shape{kModel(s.model), kVocab(s.vocab)} : Shape{kVocab(s.vocab), kModel(s.model)};
      Tensors more = as_type({random_tensor(table, 62, -2, 2), random_tensor(by_block, 63), random_tensor(rows, 64),
                              random_tensor(rows, 65)},
                             wide);
      const std::unique_ptr<KernelTable> kernels = make_test_kernels(2);
      const CrossEntropyOptions kept{true, true}, not_kept{true, false};
      const Tensors forward{x, more[0], targets};
      const Tensors one = run_kernel(*kernels, LinearCrossEntropy(s.part(), kept), forward);
      const Tensors other = run_kernel(*kernels, LinearCrossEntropy(s.part(), not_kept), forward);
      for (size_t i = 0; i < other.size(); ++i) EXPECT_EQ(one[i].values, other[i].values) << i;
      ASSERT_EQ(one.size(), 5u);
      Tensors backward{x, more[0], targets, one[4], more[1], more[2], more[3]};
      const Tensors from_kept = run_kernel(*kernels, LinearCrossEntropyGradient(s.part(), kept), backward);
      backward[3] = one[0];
      const Tensors from_logits = run_kernel(*kernels, LinearCrossEntropyGradient(s.part(), not_kept), backward);
      for (size_t i = 0; i < 2; ++i) EXPECT_EQ(from_kept[i].values, from_logits[i].values) << to_string(dtype) << i;
    }
}

// Of a table that is split by words the last rank may have few that count, or none: its memory is that of the first.
TEST(LinearCrossEntropy, WorkspaceIsTheSameOnEveryRank) {
  for (const bool model_first : {false, true})
    for (const bool same_bits : {false, true}) {
      const std::unique_ptr<KernelTable> kernels = make_test_kernels(2, nullptr, same_bits);
      const Shape rows{kLength(31)};
      const Shape table = model_first ? Shape{kModel(300), kVocab(40)} : Shape{kVocab(40), kModel(300)};
      const ValueType row{DType::kFloat32, rows}, block{DType::kFloat32, Shape{kLength(31), kVocab(1)}};
      const std::vector<ValueType> forward = {
          {DType::kFloat32, Shape{kLength(31), kModel(300)}}, {DType::kFloat32, table}, {DType::kInt32, rows}};
      std::vector<ValueType> backward = forward;
      backward.insert(backward.end(), {block, block, row});
      const auto bytes = [&](int64_t first_word) {
        const VocabularyPart part{43, first_word, 1};
        const LinearCrossEntropy op(part, {});
        const LinearCrossEntropyGradient gradient(part, {});
        return std::pair(kernels->workspace(op, forward, op.infer(forward)),
                         kernels->workspace(gradient, backward, gradient.infer(backward)));
      };
      EXPECT_EQ(bytes(40), bytes(0));
      EXPECT_EQ(bytes(80), bytes(0));
    }
}

TEST(LinearCrossEntropy, LargeLogits) {
  const Sizes s{2, 1, 3, 3, false};
  const Tensors inputs{integers(Shape{kLength(2), kModel(1)}, {300, -300}, DType::kFloat64),
                       integers(Shape{kVocab(3), kModel(1)}, {1, 2, -3}, DType::kFloat64),
                       integers(Shape{kLength(2)}, {0, 2})};
  check_kernel(LinearCrossEntropy(s.part(), {}), inputs,
               [&](const Tensors& in, Tensors& out) { forward(s, false, in, out); }, {2e-6, 1e-13, false});
}

}  // namespace
}  // namespace synthesizer
