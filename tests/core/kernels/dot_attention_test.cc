// Attention by blocks against whole rows in double: masks, causality and segments, rows with nothing to see, more keys
// than a block has, values that are not finite; the same bits for any number of threads.
#include "core/ops/dot_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const DimName kInner{"inner"};

struct Sizes {
  int64_t batch, heads, length, keys, head, inner;
};

// A pair of each kind.
struct Case {
  Sizes s;
  bool own = true, shared = false, common = false;
  int addend = 0;  // how many dims
  bool key_mask = false, segments = false, causal = false, positions = false;

  DotAttentionOptions options() const {
    DotAttentionOptions options;
    if (own) options.kinds.push_back(PairKind::kOwn);
    if (shared) options.kinds.push_back(PairKind::kShared);
    if (common) options.kinds.push_back(PairKind::kCommon);
    options.addend = addend > 0;
    options.key_mask = key_mask;
    options.segments = segments;
    options.positions = positions;
    options.causal = causal;
    return options;
  }
};

// Two documents, of a third of a row and of the rest.
int64_t segment_of(int64_t i, int64_t n) { return 3 * i < n ? 1 : 2; }
int64_t place(const Sizes& s, int64_t i) { return segment_of(i, s.length) == 1 ? i : i - (s.length + 2) / 3; }

// Example 1 has a few keys, example 2 none. Segments are 1, then 2.
Tensors inputs_of(const Case& c) {
  const Sizes& s = c.s;
  const Dim batch = kBatch(s.batch), heads = kHeads(s.heads), length = kLength(s.length), keys = kMemoryLength(s.keys);
  Tensors in;
  uint64_t seed = 21;
  const auto add = [&](Shape shape, double bound) {
    in.push_back(random_tensor(std::move(shape), ++seed, -bound, bound));
  };
  for (const PairKind kind : c.options().kinds) {
    add(kind == PairKind::kCommon ? Shape{batch, length, kInner(s.inner)}
                                  : Shape{batch, length, heads, kInner(s.inner)},
        2);
    add(kind == PairKind::kOwn ? Shape{batch, keys, heads, kInner(s.inner)} : Shape{heads, kInner(s.inner), keys}, 2);
  }
  add({batch, keys, heads, kHead(s.head)}, 1);
  if (c.addend == 3) add({heads, length, keys}, 3);
  if (c.addend == 2) add({heads, keys}, 3);
  const auto segment = [](int64_t i, int64_t n) { return static_cast<double>(segment_of(i, n)); };
  if (c.key_mask) {
    Tensor mask = integers(Shape{batch, keys}, {});
    for (int64_t b = 0; b < s.batch; ++b)
      for (int64_t j = 0; j < s.keys; ++j) {
        const bool live = b == 0 || b > 2 || (b == 1 && j % 3 == 1 && j < s.keys / 2);
        mask.values.push_back(!live ? 0 : c.segments ? segment(j, s.keys) : 1);
      }
    in.push_back(mask);
  }
  if (c.segments) {
    Tensor segments = integers(Shape{batch, length}, {});
    for (int64_t b = 0; b < s.batch; ++b)
      for (int64_t i = 0; i < s.length; ++i) segments.values.push_back(segment(i, s.length));
    in.push_back(segments);
  }
  if (c.positions) {
    Tensor positions = integers(Shape{batch, length}, {});
    for (int64_t b = 0; b < s.batch; ++b)
      for (int64_t i = 0; i < s.length; ++i) positions.values.push_back(static_cast<double>(place(s, i)));
    in.push_back(positions);
  }
  return in;
}

// Where the elements are that query i, or query and key, have a part in.
int64_t query_at(const Case& c, size_t pair, int64_t b, int64_t i, int64_t h) {
  const int64_t row = b * c.s.length + i;
  return (c.options().kinds[pair] == PairKind::kCommon ? row : row * c.s.heads + h) * c.s.inner;
}
int64_t key_at(const Case& c, size_t pair, int64_t b, int64_t j, int64_t h, int64_t a) {
  if (c.options().shares_keys(pair)) return (h * c.s.inner + a) * c.s.keys + (c.positions ? place(c.s, j) : j);
  return ((b * c.s.keys + j) * c.s.heads + h) * c.s.inner + a;
}
int64_t addend_at(const Case& c, int64_t h, int64_t i, int64_t j) {
  if (c.addend == 2) return h * c.s.keys + j;
  return c.positions ? (h * c.s.length + place(c.s, i)) * c.s.keys + place(c.s, j)
                     : (h * c.s.length + i) * c.s.keys + j;
}

// One row: which keys it sees, and their scores.
struct Row {
  std::vector<char> live;
  std::vector<double> scores, weights;
  double log_sum = 0;
};

Row row_of(const Case& c, const Tensors& in, int64_t b, int64_t h, int64_t i) {
  const Sizes& s = c.s;
  const DotAttentionOptions o = c.options();
  Row row;
  for (int64_t j = 0; j < s.keys; ++j) {
    const double key = o.key_mask ? in[o.mask()][b * s.keys + j] : 1;
    const bool segment = !o.segments || key == in[o.mask() + 1][b * s.length + i];
    row.live.push_back(key != 0 && segment && (!o.causal || j <= i));
    if (!row.live.back()) {  // between documents there are no places
      row.scores.push_back(0);
      continue;
    }
    double score = c.addend > 0 ? in[o.values() + 1][addend_at(c, h, i, j)] : 0;
    for (size_t p = 0; p < o.pairs(); ++p)
      for (int64_t a = 0; a < s.inner; ++a)
        score += in[2 * p][query_at(c, p, b, i, h) + a] * in[2 * p + 1][key_at(c, p, b, j, h, a)];
    row.scores.push_back(score);
  }
  double largest = -kInfinity, sum = 0;
  const auto n = row.scores.size();
  for (size_t j = 0; j < n; ++j)
    if (row.live[j]) largest = std::max(largest, row.scores[j]);
  for (size_t j = 0; j < n; ++j) sum += row.live[j] ? std::exp(row.scores[j] - largest) : 0;
  for (size_t j = 0; j < n; ++j) row.weights.push_back(row.live[j] ? std::exp(row.scores[j] - largest) / sum : 0);
  if (largest > -kInfinity) row.log_sum = largest + std::log(sum);
  return row;
}

void each_row(const Sizes& s, const std::function<void(int64_t b, int64_t h, int64_t i)>& visit) {
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t h = 0; h < s.heads; ++h)
      for (int64_t i = 0; i < s.length; ++i) visit(b, h, i);
}

void forward_reference(const Case& c, const Tensors& in, Tensors& out) {
  const Sizes& s = c.s;
  each_row(s, [&](int64_t b, int64_t h, int64_t i) {
    const Row row = row_of(c, in, b, h, i);
    for (int64_t j = 0; j < s.keys; ++j)
      for (int64_t a = 0; a < s.head; ++a)
        if (row.live[static_cast<size_t>(j)])
          out[0][((b * s.length + i) * s.heads + h) * s.head + a] +=
              row.weights[static_cast<size_t>(j)] *
              in[c.options().values()][((b * s.keys + j) * s.heads + h) * s.head + a];
    out[1][(b * s.heads + h) * s.length + i] = row.log_sum;
  });
}

void gradient_reference(const Case& c, const Tensors& in, Tensors& out) {
  const Sizes& s = c.s;
  const DotAttentionOptions o = c.options();
  const size_t values = o.values();
  each_row(s, [&](int64_t b, int64_t h, int64_t i) {
    const Row row = row_of(c, in, b, h, i);
    const int64_t query = (b * s.length + i) * s.heads + h;
    const auto dweight = [&](int64_t j) {
      double dp = 0;
      for (int64_t a = 0; a < s.head; ++a)
        dp += in[o.inputs() + 1][query * s.head + a] * in[values][((b * s.keys + j) * s.heads + h) * s.head + a];
      return dp;
    };
    double mean = 0;
    for (int64_t j = 0; j < s.keys; ++j)
      if (row.live[static_cast<size_t>(j)]) mean += row.weights[static_cast<size_t>(j)] * dweight(j);
    for (int64_t j = 0; j < s.keys; ++j) {
      if (!row.live[static_cast<size_t>(j)]) continue;
      const double p = row.weights[static_cast<size_t>(j)];
      const int64_t key = (b * s.keys + j) * s.heads + h;
      for (int64_t a = 0; a < s.head; ++a) out[values][key * s.head + a] += p * in[o.inputs() + 1][query * s.head + a];
      const double ds = p * (dweight(j) - mean);
      if (c.addend > 0) out[values + 1][addend_at(c, h, i, j)] += ds;
      for (size_t pair = 0; pair < o.pairs(); ++pair)
        for (int64_t a = 0; a < s.inner; ++a) {
          const int64_t at = key_at(c, pair, b, j, h, a), from = query_at(c, pair, b, i, h) + a;
          out[2 * pair][from] += ds * in[2 * pair + 1][at];
          out[2 * pair + 1][at] += ds * in[2 * pair][from];
        }
    }
  });
}

// log Σ exp and dY, which the gradient is given.
Tensors with_forward(const Case& c, Tensors in) {
  Tensors out;
  std::vector<ValueType> types;
  for (const Tensor& tensor : in) types.push_back(tensor.type);
  for (const ValueType& type : DotAttention(c.options()).infer(types))
    out.push_back({type, std::vector<double>(static_cast<size_t>(type.shape.elements()))});
  forward_reference(c, in, out);
  const Shape y = out[0].type.shape;
  in.insert(in.end(), {out[1], random_tensor(y, 77)});
  return in;
}

void check(const Case& c) {
  const Tensors in = inputs_of(c);
  check_kernel(DotAttention(c.options()), in, [&](const Tensors& i, Tensors& o) { forward_reference(c, i, o); },
               {1e-5, 1e-13});
  check_kernel(DotAttentionGradient(c.options(), c.addend > 0), with_forward(c, in),
               [&](const Tensors& i, Tensors& o) { gradient_reference(c, i, o); }, {3e-5, 1e-13});
}

TEST(DotAttention, EveryCombination) {
  for (int bits = 0; bits < 8; ++bits)
    for (const int addend : {0, 2, 3}) {
      const bool causal = bits & 1, key_mask = bits & 2, both = bits & 4;
      check({.s = {3, 2, 33, 33, 5, 3}, .shared = both, .addend = addend, .key_mask = key_mask, .causal = causal});
      if (key_mask)
        check({.s = {3, 2, 31, 31, 5, 3},
               .shared = both,
               .addend = addend,
               .key_mask = true,
               .segments = true,
               .causal = causal});
    }
}

TEST(DotAttention, DocumentsAndCommonQueries) {
  for (const bool causal : {false, true})
    for (const int addend : {0, 3}) {
      const auto with = [&](bool own, bool shared, bool common) {
        check({.s = {3, 2, 31, 31, 5, 3},
               .own = own,
               .shared = shared,
               .common = common,
               .addend = addend,
               .key_mask = true,
               .segments = true,
               .causal = causal,
               .positions = true});
      };
      with(false, false, false);
      with(true, true, false);
      with(true, false, true);
      with(false, true, true);
      check({.s = {20, 1, 9, 9, 5, 7}, .common = true, .addend = addend, .key_mask = true, .causal = causal});
    }
  check({.s = {2, 3, 17, 33, 5, 70}, .own = false, .common = true, .addend = 2});
  check({.s = {1, 1, 300, 300, 4, 4},
         .shared = true,
         .addend = 3,
         .key_mask = true,
         .segments = true,
         .causal = true,
         .positions = true});
}

// They are data: what is no place in a document gives anything, but reads and writes nothing that is not there.
TEST(DotAttention, PositionsMayHoldAnything) {
  const Case c{.s = {2, 2, 70, 70, 5, 3},
               .shared = true,
               .common = true,
               .addend = 3,
               .key_mask = true,
               .segments = true,
               .positions = true};
  Tensors in = inputs_of(c);
  const std::unique_ptr<KernelTable> table = make_test_kernels(2);
  for (int64_t i = 0; i < in[c.options().mask() + 2].size(); ++i) {
    constexpr double kWrong[] = {-1, 69, 70, 3, -2147483648., 2147483647., 0, 12};
    in[c.options().mask() + 2][i] = kWrong[i % 8];
  }
  const Tensors given = with_forward({.s = c.s, .shared = true, .common = true, .addend = 3, .key_mask = true}, [&] {
    Tensors plain = in;
    plain.resize(c.options().mask() + 1);
    for (double& key : plain.back().values) key = key == 0 ? 0 : 1;
    return plain;
  }());
  Tensors all = in;
  all.insert(all.end(), given.end() - 2, given.end());
  for (const Tensor& y : run_kernel(*table, DotAttention(c.options()), in))
    for (const double value : y.values) EXPECT_TRUE(std::isfinite(value));
  EXPECT_EQ(run_kernel(*table, DotAttentionGradient(c.options(), true), all).size(), c.options().values() + 2);
}

TEST(DotAttention, OddSizes) {
  for (const int64_t length : {1, 31, 129})
    for (const int64_t keys : {2, 33, 259}) check({.s = {2, 1, length, keys, 3, 1}, .addend = 3, .key_mask = true});
  check({.s = {5, 1, 7, 9, 1, 2}, .own = false, .shared = true, .addend = 2});
}

// More than one block of keys and of queries, and the last one short.
TEST(DotAttention, LongRows) {
  check({.s = {2, 1, 150, 700, 4, 4}, .addend = 3, .key_mask = true});
  check({.s = {2, 1, 300, 300, 4, 4}, .addend = 3, .key_mask = true, .causal = true});
  check({.s = {1, 1, 300, 300, 4, 4}, .shared = true, .addend = 2, .key_mask = true, .segments = true, .causal = true});
}

TEST(DotAttention, AllGradientsMayTakeTheirInputsPlaces) {
  const std::unique_ptr<KernelTable> table = make_test_kernels(2);
  for (const Case& c : {Case{.s = {2, 2, 70, 130, 4, 3}, .shared = true, .addend = 3, .key_mask = true},
                        Case{.s = {19, 2, 33, 33, 4, 3},
                        .shared = true,
                        .common = true,
                        .addend = 3,
                        .key_mask = true,
                        .segments = true,
                        .positions = true}}) {
    const DotAttentionGradient op(c.options(), true);
    const Tensors in = with_forward(c, inputs_of(c)), apart = run_kernel(*table, op, in);
    const Tensors in_place = run_kernel(*table, op, in, kAllInPlace);
    for (size_t i = 0; i < apart.size(); ++i) EXPECT_EQ(in_place[i].values, apart[i].values) << i;
  }
}

TEST(DotAttention, ARowThatSeesNothingIsZeroAndHasNoGradients) {
  const Case c{.s = {3, 2, 5, 9, 4, 3}, .addend = 3, .key_mask = true};
  Tensors in = inputs_of(c);
  const DotAttentionOptions o = c.options();
  const std::unique_ptr<KernelTable> table = make_test_kernels(2);
  const Tensors y = run_kernel(*table, DotAttention(o), in);
  const Tensors d = run_kernel(*table, DotAttentionGradient(o, true), with_forward(c, in));
  const auto third = [](const Tensor& t, int64_t i) { return t[2 * t.size() / 3 + i]; };  // of example 2
  for (int64_t i = 0; i < 5 * 2 * 4; ++i) EXPECT_EQ(third(y[0], i), 0);
  for (int64_t i = 0; i < 5 * 2; ++i) EXPECT_EQ(third(y[1], i), 0);
  for (int64_t i = 0; i < 5 * 2 * 3; ++i) EXPECT_EQ(third(d[0], i), 0);
  for (int64_t i = 0; i < 9 * 2 * 3; ++i) EXPECT_EQ(third(d[1], i), 0);
  for (int64_t i = 0; i < 9 * 2 * 4; ++i) EXPECT_EQ(third(d[2], i), 0);
}

// A softmax of one score is 1 whatever the score: nothing may flow back to it, rounding neither.
TEST(DotAttention, AQueryThatSeesOneKeyHasNoGradient) {
  const Case c{.s = {2, 3, 40, 40, 16, 24}, .addend = 3, .causal = true};
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    Tensors in = with_forward(c, inputs_of(c));
    const std::unique_ptr<KernelTable> table = make_test_kernels(2);
    const size_t log_sum = c.options().inputs();
    const Tensors given(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(log_sum));
    const auto wide = [&](Tensors tensors, size_t at) {
      tensors = as_type(tensors, dtype);
      const Tensors float32 = as_type({in[at]}, DType::kFloat32);
      tensors[at] = float32[0];
      return tensors;
    };
    const size_t addend = c.options().values() + 1;
    in[log_sum] = run_kernel(*table, DotAttention(c.options()), wide(given, addend))[1];
    Tensors all = wide(in, addend);
    all[log_sum] = in[log_sum];
    const Tensors d = run_kernel(*table, DotAttentionGradient(c.options(), true), all);
    for (int64_t h = 0; h < c.s.heads; ++h) EXPECT_EQ(d[addend][h * c.s.length * c.s.keys], 0) << to_string(dtype);
    for (int64_t a = 0; a < c.s.heads * c.s.inner; ++a) EXPECT_EQ(d[0][a], 0);  // of the first query
  }
}

// One query of one head and width; scores are the keys.
Case one_row(int64_t keys) { return {.s = {1, 1, 1, keys, 1, 1}, .key_mask = true}; }
Tensors row_inputs(std::vector<double> keys, std::vector<double> mask) {
  const auto n = static_cast<int64_t>(keys.size());
  return {integers(Shape{kBatch(1), kLength(1), kHeads(1), kInner(1)}, {1}, DType::kFloat64),
          integers(Shape{kBatch(1), kMemoryLength(n), kHeads(1), kInner(1)}, std::move(keys), DType::kFloat64),
          random_tensor(Shape{kBatch(1), kMemoryLength(n), kHeads(1), kHead(1)}, 5),
          integers(Shape{kBatch(1), kMemoryLength(n)}, std::move(mask))};
}

TEST(DotAttention, MaskedKeysMayHoldAnything) {
  const Tensors in = row_inputs({1, std::nan(""), kInfinity, 2}, {1, 0, 0, 1});
  check_kernel(DotAttention(one_row(4).options()), in,
               [&](const Tensors& i, Tensors& o) { forward_reference(one_row(4), i, o); }, {1e-5, 1e-13});
}

TEST(DotAttention, LargeScoresAndThoseThatAreNotFinite) {
  const DotAttentionOptions options = one_row(3).options();
  check_kernel(DotAttention(options), row_inputs({1000, 999, -1000}, {1, 1, 1}),
               [&](const Tensors& i, Tensors& o) { forward_reference(one_row(3), i, o); }, {1e-5, 1e-12});
  const auto y = [&](std::vector<double> keys) {
    return run_kernel(*make_test_kernels(1), DotAttention(options), row_inputs(std::move(keys), {1, 1, 1}))[0][0];
  };
  EXPECT_TRUE(std::isnan(y({1, std::nan(""), 2})));
  EXPECT_TRUE(std::isnan(y({1, kInfinity, 2})));
  EXPECT_TRUE(std::isnan(y({-kInfinity, -kInfinity, -kInfinity})));
  EXPECT_TRUE(std::isfinite(y({-kInfinity, 1, 2})));
}

// A block of keys that nobody sees is left out, and so is not counted; how large blocks are is each device's own.
TEST(DotAttention, CountsWhatIsRun) {
  const auto flops = [](const Case& c) {
    KernelCounters counters;
    run_kernel(*make_test_kernels(2, &counters), DotAttention(c.options()), inputs_of(c));
    EXPECT_EQ(counters.softmax_runs, 1);
    EXPECT_EQ(counters.softmax_rows, c.s.batch * c.s.heads * c.s.length);
    return counters.product_flops.load();
  };
  const int64_t all = 2 * 2 * 512 * 512 * (3 + 4);
  EXPECT_EQ(flops({.s = {1, 2, 512, 512, 4, 3}}), all);
  const int64_t causal = flops({.s = {1, 2, 512, 512, 4, 3}, .causal = true});
  EXPECT_GE(causal, all * 513 / 1024);  // what is on and below the diagonal
  EXPECT_LE(causal, all * 10 / 16);     // blocks of 128
}

}  // namespace
}  // namespace synthesizer
