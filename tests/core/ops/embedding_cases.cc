#include <array>

#include "core/ops/embedding.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

// Ids outside of the table give a row of 0 and get no gradient.
void outside(std::vector<Tensor>& in, size_t ids, int64_t vocab) {
  in[ids].data[0] = -1;
  in[ids].data.back() = static_cast<double>(vocab);
}

OpCase embedding_row(const std::string& label, const Shape& table, const Shape& ids, bool all_rules = false) {
  OpCase c;
  c.op = "embedding";
  c.label = label;
  const int64_t vocab = table.size("vocab");
  c.inputs = {{"table", table}, {"ids", ids, 0, static_cast<double>(vocab - 1), DType::kInt32}};
  if (ids.elements() > 2) c.adjust = [=](std::vector<Tensor>& in) { outside(in, 1, vocab); };
  c.wide = {"table"};
  c.build = [](Graph&, In in, DType dtype) { return std::vector{embedding(in[0], in[1], dtype)}; };
  c.reference = [=](const auto& in) {
    std::vector<Dim> dims = ids.dims();
    dims.push_back(kModel(table.size("model")));
    return std::vector{tabulate(Shape(dims), [&](const Index& i) {
      const auto id = static_cast<int64_t>(in[1](i));
      return id < 0 || id >= vocab ? 0 : in[0](with(i, "vocab", id));
    })};
  };
  const int64_t rows = 4 * ids.elements() * table.size("model");
  c.bytes = 4 * ids.elements() + 2 * rows;  // ids; rows read and written
  c.all_rules = all_rules;
  return c;
}

OpCase embedding_gradient_row(const std::string& label, const Shape& table, const Shape& ids, bool base,
                              bool all_rules = false) {
  OpCase c;
  c.op = "embedding_gradient";
  c.label = label + (base ? "_base" : "");
  std::vector<Dim> dims = ids.dims();
  dims.push_back(kModel(table.size("model")));
  const int64_t vocab = table.size("vocab");
  c.inputs = {{"ids", ids, 0, static_cast<double>(vocab - 1), DType::kInt32}, {"dy", Shape(dims)}};
  if (base) c.inputs.push_back({"base", table});
  c.wide = {"base"};
  if (ids.elements() > 2) c.adjust = [=](std::vector<Tensor>& in) { outside(in, 0, vocab); };
  c.build = [=](Graph& g, In in, DType) {
    return std::vector{g.add_one(std::make_shared<EmbeddingGradient>(kVocab(vocab), 0, base), in)};
  };
  c.reference = [=](const auto& in) {
    Tensor dtable = base ? in[2] : Tensor(table);
    each(in[1].shape, [&](const Index& i) {
      const auto id = static_cast<int64_t>(in[0](i));
      if (id >= 0 && id < vocab) dtable(with(i, "vocab", id)) += in[1](i);
    });
    return std::vector{dtable};
  };
  const int64_t rows = 4 * ids.elements() * table.size("model");
  c.flops = rows / 4;
  c.bytes = 4 * ids.elements() + 3 * rows + (base ? 0 : 4 * table.elements());
  c.has_gradient = false;
  c.all_rules = all_rules;
  return c;
}

// Where a bucket begins: the distances, by bucket, of 8 buckets a side with a maximum distance of 20, and of 4 with 16.
// Buckets 0 to n/2 − 1 are one distance each, the others begin at (n/2)·(max/(n/2))^(k/(n/2)), rounded up.
constexpr std::array<int64_t, 8> kEight = {0, 1, 2, 3, 4, 6, 9, 14};
constexpr std::array<int64_t, 4> kFour = {0, 1, 2, 6};

template <size_t N>
int64_t bucket_of(const std::array<int64_t, N>& begins, int64_t distance) {
  size_t bucket = 0;
  while (bucket + 1 < N && begins[bucket + 1] <= distance) ++bucket;
  return static_cast<int64_t>(bucket);
}

int64_t naive_bucket(bool bidirectional, int64_t relative) {  // of 8 buckets in all
  if (!bidirectional) return bucket_of(kEight, relative < 0 ? -relative : 0);
  return relative > 0 ? 4 + bucket_of(kFour, relative) : bucket_of(kFour, -relative);
}

OpCase relative_bias_row(bool gradient, bool bidirectional, int64_t length, int64_t memory_length, int64_t heads,
                         bool all_rules = false) {
  OpCase c;
  c.op = gradient ? "relative_bias_gradient" : "relative_bias";
  c.bfloat16 = false;
  c.label = std::string(bidirectional ? "both" : "left") + (all_rules ? "_even" : "");
  const RelativeBiasOptions options{length, memory_length, bidirectional, bidirectional ? 16 : 20};
  const Shape table{kBuckets(8), kHeads(heads)}, bias{kHeads(heads), kLength(length), kMemoryLength(memory_length)};
  c.inputs = {{"x", gradient ? bias : table}};
  c.build = [=](Graph& g, In in, DType) {
    return std::vector{gradient ? g.add_one(std::make_shared<RelativeBiasGradient>(options, 8), in)
                                : relative_bias(in[0], options)};
  };
  c.reference = [=](const auto& in) {
    Tensor y(gradient ? table : bias);
    each(bias, [&](const Index& i) {
      const Index row = with(i, "buckets", naive_bucket(bidirectional, i.at("memory_length") - i.at("length")));
      if (gradient)
        y(row) += in[0](i);
      else
        y(i) = in[0](row);
    });
    return std::vector{y};
  };
  c.has_gradient = !gradient;
  c.all_rules = all_rules;
  return c;
}

}  // namespace

std::vector<OpCase> embedding_cases() {
  const Shape odd{kVocab(31), kModel(33)}, even{kVocab(8), kModel(4)}, tiny{kVocab(1), kModel(1)};
  const Shape ids{kBatch(3), kLength(31)}, even_ids{kBatch(4), kLength(12)};
  std::vector<OpCase> rows = {
      embedding_row("odd", odd, ids),
      embedding_row("one", tiny, {kLength(1)}),
      embedding_row("scalar", odd, {}),
      embedding_row("even", even, even_ids, true),
      embedding_gradient_row("odd", odd, ids, false),
      embedding_gradient_row("odd", odd, ids, true),
      embedding_gradient_row("one", tiny, {kLength(1)}, false),
      embedding_gradient_row("even", even, even_ids, false, true),
      embedding_gradient_row("even", even, even_ids, true, true),
  };
  for (const bool gradient : {false, true})
    for (const bool bidirectional : {false, true}) {
      rows.push_back(relative_bias_row(gradient, bidirectional, 31, 33, 3));
      rows.push_back(relative_bias_row(gradient, bidirectional, 5, 6, 4, true));
    }
  return rows;
}

}  // namespace synthesizer
