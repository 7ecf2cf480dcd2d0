#include <algorithm>
#include <cmath>

#include "core/ops/cross_entropy.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

struct Row {
  std::string label;
  Shape x, table;
  int64_t true_vocab;
  bool mean;
  std::vector<size_t> loss_outputs;
  int64_t blocks = 1;
  bool all_rules = false;
  bool kept = false;

  CrossEntropyOptions options() const { return {mean, kept}; }
  VocabularyPart part() const { return {true_vocab, 0, blocks}; }
  int64_t block() const { return table.size("vocab") / blocks; }
  Shape by_block() const {
    std::vector<Dim> dims = x.without("model").dims();
    dims.push_back(kVocab(blocks));
    return Shape(dims);
  }
  Shape by_word() const {
    std::vector<Dim> dims = x.without("model").dims();
    dims.push_back(kVocab(table.size("vocab")));
    return Shape(dims);
  }
};

// The logits of the true vocabulary, [rows, vocab].
std::vector<std::vector<double>> naive_logits(const Tensor& x, const Tensor& table, const Shape& rows,
                                              int64_t true_vocab) {
  std::vector<std::vector<double>> all;
  each(rows, [&](const Index& i) {
    std::vector<double> logits(static_cast<size_t>(true_vocab));
    for (int64_t v = 0; v < true_vocab; ++v)
      for (int64_t m = 0; m < table.shape.size("model"); ++m) {
        const Index at = with(with(i, "model", m), "vocab", v);
        logits[static_cast<size_t>(v)] += x(at) * table(at);
      }
    all.push_back(std::move(logits));
  });
  return all;
}

OpCase make_row(const Row& r) {
  OpCase c;
  c.op = "linear_cross_entropy";
  c.label = r.label;
  const Shape rows = r.x.without("model");
  c.inputs = {{"x", r.x, -2, 2},
              {"table", r.table},
              {"targets", rows, 0, static_cast<double>(r.true_vocab - 1), DType::kInt32}};
  c.wide = {"table", "log_z", "d_log_z", "d_target", "d_mean"};
  c.build = [=](Graph& g, In in, DType) {
    return g.add(std::make_shared<LinearCrossEntropy>(r.part(), r.options()), in);
  };
  c.reference = [=](const auto& in) {
    std::vector<Tensor> y = {Tensor(r.by_block()), Tensor(rows), Tensor(rows), Tensor(rows)};
    if (r.kept) y.emplace_back(r.by_word());
    const auto all = naive_logits(in[0], in[1], rows, r.true_vocab);
    for (size_t i = 0; i < all.size(); ++i) {
      y[3].data[i] = *std::max_element(all[i].begin(), all[i].end());
      std::vector<double> sums(static_cast<size_t>(r.blocks));
      for (size_t v = 0; v < all[i].size(); ++v) {
        sums[v / static_cast<size_t>(r.block())] += std::exp(all[i][v] - y[3].data[i]);
        if (r.mean) y[2].data[i] += all[i][v] / static_cast<double>(r.true_vocab);
      }
      for (size_t b = 0; b < sums.size(); ++b)
        y[0].data[i * sums.size() + b] = sums[b] == 0 ? LinearCrossEntropy::kNoWords : y[3].data[i] + std::log(sums[b]);
      y[1].data[i] = all[i][static_cast<size_t>(in[2].data[i])];
      for (size_t v = 0; r.kept && v < all[i].size(); ++v)
        y[4].data[i * static_cast<size_t>(r.table.size("vocab")) + v] =
            std::exp(all[i][v] - y[0].data[i * sums.size() + v / static_cast<size_t>(r.block())]);
    }
    return y;
  };
  c.loss_outputs = r.loss_outputs;
  c.product_flops = 2 * r.x.elements() * r.true_vocab;
  c.tolerance32 = 1e-5;
  c.all_rules = r.all_rules;
  return c;
}

OpCase make_gradient_row(const Row& r) {
  OpCase c = make_row(r);
  c.op = "linear_cross_entropy_gradient";
  const Shape rows = r.x.without("model");
  if (r.kept)
    c.inputs.push_back({"weights", r.by_word(), 0, 1});
  else
    c.inputs.push_back({"log_z", r.by_block(), 3, 8});
  c.inputs.push_back({"d_log_z", r.by_block()});
  c.inputs.push_back({"d_target", rows});
  if (r.mean) c.inputs.push_back({"d_mean", rows});
  c.build = [=](Graph& g, In in, DType) {
    return g.add(std::make_shared<LinearCrossEntropyGradient>(r.part(), r.options()), in);
  };
  c.reference = [=](const auto& in) {
    std::vector<Tensor> d = {Tensor(r.x), Tensor(r.table)};
    const auto all = naive_logits(in[0], in[1], rows, r.true_vocab);
    size_t row = 0;
    each(rows, [&](const Index& i) {
      for (int64_t v = 0; v < r.true_vocab; ++v) {
        const Index block = with(i, "vocab", v / r.block());
        const double weight =
            r.kept ? in[3](with(i, "vocab", v)) : std::exp(all[row][static_cast<size_t>(v)] - in[3](block));
        double dlogit = in[4](block) * weight;
        if (v == static_cast<int64_t>(in[2](i))) dlogit += in[5](i);
        if (r.mean) dlogit += in[6](i) / static_cast<double>(r.true_vocab);
        for (int64_t m = 0; m < r.x.size("model"); ++m) {
          const Index at = with(with(i, "model", m), "vocab", v);
          d[0](at) += dlogit * in[1](at);
          d[1](at) += dlogit * in[0](at);
        }
      }
      ++row;
    });
    return d;
  };
  *c.product_flops *= r.kept ? 2 : 3;
  c.has_gradient = false;
  c.loss_outputs = {0};
  return c;
}

}  // namespace

std::vector<OpCase> cross_entropy_cases() {
  const Shape odd{kBatch(1), kLength(31), kModel(33)};
  std::vector<OpCase> rows;
  for (const Row& r : std::vector<Row>{
           {"padded", odd, {kVocab(33), kModel(33)}, 31, true, {0, 1, 2}},
           {"transposed", odd, {kModel(33), kVocab(33)}, 31, false, {0, 1}},
           {"whole", odd, {kVocab(31), kModel(33)}, 31, false, {0, 1}},
           {"only_log_z", {kLength(3), kModel(5)}, {kVocab(7), kModel(5)}, 7, true, {0}},
           {"only_target", {kLength(3), kModel(5)}, {kVocab(7), kModel(5)}, 6, false, {1}},
           {"one_row", {kModel(5)}, {kVocab(7), kModel(5)}, 7, true, {0, 1, 2}},
           {"one_word", {kLength(3), kModel(1)}, {kVocab(1), kModel(1)}, 1, true, {0, 1, 2}},
           {"wide", {kLength(3), kModel(7)}, {kVocab(4099), kModel(7)}, 4097, true, {0, 1, 2}},
           {"wide_transposed", {kLength(3), kModel(7)}, {kModel(7), kVocab(4099)}, 4097, true, {0, 1, 2}},
           {"many_rows", {kBatch(3), kLength(511), kModel(3)}, {kVocab(31), kModel(3)}, 30, true, {0, 1, 2}},
           {"blocks", odd, {kVocab(36), kModel(33)}, 31, true, {0, 1, 2}, 6},
           {"blocks_of_padding", odd, {kModel(33), kVocab(36)}, 11, true, {1, 2}, 12},
           {"wide_blocks", {kLength(3), kModel(7)}, {kVocab(4104), kModel(7)}, 4097, true, {0, 1, 2}, 3},
           {"even", {kBatch(4), kLength(8), kModel(5)}, {kVocab(16), kModel(5)}, 15, true, {0, 1, 2}, 8, true},
           {"even_transposed", {kBatch(4), kModel(5)}, {kModel(5), kVocab(16)}, 9, false, {1}, 4, true},
           {"kept", odd, {kVocab(36), kModel(33)}, 31, true, {0, 1, 2}, 6, false, true},
           {"kept_transposed", odd, {kModel(33), kVocab(36)}, 35, false, {0, 1}, 12, false, true},
           {"kept_wide", {kLength(3), kModel(7)}, {kVocab(4104), kModel(7)}, 4097, true, {0, 1, 2}, 8, false, true},
           {"kept_even",
            {kBatch(4), kLength(8), kModel(5)},
            {kVocab(16), kModel(5)},
            15,
            true,
            {0, 1, 2},
            8,
            true,
            true},
       }) {
    rows.push_back(make_row(r));
    rows.push_back(make_gradient_row(r));
  }
  return rows;
}

}  // namespace synthesizer
