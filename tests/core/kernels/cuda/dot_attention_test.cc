// Attention of bfloat16 by tensor cores against that of the same numbers in float32, which plain multiplications make.
#include "core/ops/dot_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "core/kernels/cuda/runtime/launch.h"
#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

constexpr PairKind kOwn = PairKind::kOwn, kShared = PairKind::kShared, kCommon = PairKind::kCommon;

struct Case {
  int64_t batch, heads, length, keys, head;
  std::vector<std::pair<int64_t, PairKind>> pairs;  // of these widths
  int addend = 0;                                   // how many dims
  bool key_mask = false, segments = false, causal = false;
  std::vector<int64_t> documents = {};  // their lengths, and then padding: with segments; each example begins elsewhere
  bool positions = false;               // of these

  DotAttentionOptions options() const {
    DotAttentionOptions o;
    for (const auto& [width, kind] : pairs) o.kinds.push_back(kind);
    o.addend = addend > 0;
    o.key_mask = key_mask;
    o.segments = segments;
    o.positions = positions;
    o.causal = causal;
    return o;
  }
};

std::set<std::string> g_launched;

// Segments and positions of documents; padding has none that may be read by.
void put_documents(const Case& c, Tensor& mask, Tensor& segments, Tensor& positions) {
  const int64_t count = std::ssize(c.documents);
  for (int64_t b = 0; b < c.batch; ++b) {
    int64_t place = 0, document = 0;
    for (int64_t i = 0; i < c.length; ++i, ++place) {
      if (document < count && place == c.documents[static_cast<size_t>((b + document) % count)]) place = 0, ++document;
      const bool padding = document == count;
      segments.values.push_back(padding ? 0 : static_cast<double>(1 + document));
      positions.values.push_back(!padding ? static_cast<double>(place) : i % 2 == 0 ? -7 : 1 << 30);
    }
  }
  mask.values = segments.values;
}

// Example 1 has few keys, example 2 none. Segments are 1, 2 and 3.
Tensors inputs_of(const Case& c) {
  const Dim batch = kBatch(c.batch), heads = kHeads(c.heads), length = kLength(c.length), keys = kMemoryLength(c.keys);
  Tensors in;
  uint64_t seed = 31;
  const auto add = [&](Shape shape, double bound) {
    in.push_back(random_tensor(std::move(shape), ++seed, -bound, bound));
  };
  for (const auto& [width, kind] : c.pairs) {
    const Dim inner = DimName{"inner"}(width);
    add(kind == kCommon ? Shape{batch, length, inner} : Shape{batch, length, heads, inner}, 1);
    add(kind == kOwn ? Shape{batch, keys, heads, inner} : Shape{heads, inner, keys}, 0.5);
  }
  add({batch, keys, heads, kHead(c.head)}, 1);
  if (c.addend == 3) add({heads, length, keys}, 2);
  if (c.addend == 2) add({heads, keys}, 2);
  const auto segment = [](int64_t i, int64_t n) { return static_cast<double>(1 + 3 * i / n); };
  Tensor mask = integers(Shape{batch, keys}, {}), segments = integers(Shape{batch, length}, {}), positions = segments;
  if (!c.documents.empty()) put_documents(c, mask, segments, positions);
  for (int64_t b = 0; b < c.batch && c.documents.empty(); ++b) {
    for (int64_t j = 0; j < c.keys; ++j) {
      const bool live = b == 0 || b > 2 || (b == 1 && j % 3 == 1 && j < c.keys / 2);
      mask.values.push_back(!live ? 0 : c.segments ? segment(j, c.keys) : 1);
    }
    for (int64_t i = 0; i < c.length; ++i) segments.values.push_back(segment(i, c.length));
  }
  if (c.key_mask) in.push_back(mask);
  if (c.segments) in.push_back(segments);
  if (c.positions) in.push_back(positions);
  return in;
}

// In bfloat16, but for what all examples share: there the same numbers, in float32.
Tensors stored(const Case& c, const Tensors& in) {
  Tensors rounded = as_type(in, DType::kBFloat16);
  const auto widen = [&](size_t i) { rounded[i].type.dtype = DType::kFloat32; };
  for (size_t p = 0; p < c.pairs.size(); ++p)
    if (c.pairs[p].second != kOwn) widen(2 * p + 1);
  if (c.addend > 0) widen(c.options().values() + 1);
  return rounded;
}

void expect_near(const Tensors& got, const Tensors& expected, const std::string& what) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t t = 0; t < got.size(); ++t) {
    double largest = 0;
    for (const double v : expected[t].values) largest = std::max(largest, std::abs(v));
    for (int64_t i = 0; i < expected[t].size(); ++i)
      ASSERT_NEAR(got[t][i], expected[t][i], 0.015 * largest) << what << ": output " << t << " element " << i;
  }
}

void expect_equal(const Tensors& got, const Tensors& expected, const std::string& what) {
  for (size_t t = 0; t < got.size(); ++t) EXPECT_EQ(got[t].values, expected[t].values) << what << ": output " << t;
}

// What the gradient is given: log Σ exp, and some dY.
Tensors with_forward(Tensors in, const Tensors& out) {
  in.push_back(out[1]);
  in.push_back(as_type({random_tensor(out[0].type.shape, 77)}, out[0].type.dtype)[0]);
  return in;
}

void check(const Case& c) {
  const std::string what = "length " + std::to_string(c.length) + ", keys " + std::to_string(c.keys) + ", head " +
                           std::to_string(c.head) + ", addend " + std::to_string(c.addend) +
                           (c.key_mask ? ", mask" : "") + (c.segments ? ", segments" : "") +
                           (c.positions ? ", positions" : "") + (c.causal ? ", causal" : "");
  const DotAttentionOptions o = c.options();
  const DotAttention forward(o);
  const DotAttentionGradient backward(o, c.addend > 0);
  Tensors in = stored(c, inputs_of(c)), wide = as_type(in, DType::kFloat32);
  g_launched.clear();
  cuda::listen_to_launches([](const char* name) { g_launched.insert(name); });
  std::vector<Tensors> runs;
  for (const KernelVariant& variant : kernel_variants()) {
    const std::unique_ptr<KernelTable> table = variant.make();
    const Tensors out = run_kernel(*table, forward, in);
    const Tensors given = with_forward(in, out);
    runs.push_back(out);
    runs.push_back(run_kernel(*table, backward, given));
    expect_equal(run_kernel(*table, backward, given, kAllInPlace), runs[1], what + " in place");
  }
  cuda::listen_to_launches(nullptr);
  EXPECT_TRUE(g_launched.contains("dot_attention_mma_kernel") && g_launched.contains("attention_keys_mma_kernel"));
  EXPECT_FALSE(g_launched.contains("dot_attention_kernel") || g_launched.contains("attention_mean_kernel"));
  for (size_t i = 2; i < runs.size(); ++i) expect_equal(runs[i], runs[i % 2], what + " in another order");

  const std::unique_ptr<KernelTable> table = make_test_kernels();
  const Tensors out = run_kernel(*table, forward, wide);
  wide.push_back(out[1]);
  wide.push_back(as_type(as_type({random_tensor(out[0].type.shape, 77)}, DType::kBFloat16), DType::kFloat32)[0]);
  expect_near(runs[0], out, what);
  expect_near(runs[1], run_kernel(*table, backward, wide), what + " gradient");
}

TEST(DotAttentionByTensorCores, Sizes) {
  for (const int64_t head : {16, 64, 80, 128})
    for (const int64_t length : {1, 31, 33, 64, 65, 129}) {
      if (head > 64 && length == 31) continue;
      check({1, 1, length, length == 64 ? 65 : length, head, {{head, kOwn}}});
    }
  check({1, 1, 33, 130, 32, {{48, kOwn}}});
}

TEST(DotAttentionByTensorCores, MasksAndAddends) {
  for (const int addend : {0, 2, 3})
    for (int bits = 0; bits < 6; ++bits)
      check({.batch = 3,
             .heads = 2,
             .length = 70,
             .keys = 70,
             .head = 16,
             .pairs = {{16, kOwn}},
             .addend = addend,
             .key_mask = bits / 2 > 0,
             .segments = bits / 2 > 1,
             .causal = bits % 2 > 0});
  check({2, 1, 200, 200, 16, {{16, kOwn}}, 0, true, true, true});
}

TEST(DotAttentionByTensorCores, SharedKeysAndSeveralPairs) {
  check({3, 2, 33, 65, 16, {{32, kShared}}, 2, true});
  check({20, 1, 20, 70, 32, {{16, kShared}, {32, kOwn}}, 2, true});
  check({3, 1, 65, 66, 64, {{64, kOwn}, {64, kShared}}, 3, true, false, true});
  check({2, 1, 40, 40, 16, {{16, kShared}, {16, kOwn}, {32, kShared}}});
}

Case documents(std::vector<std::pair<int64_t, PairKind>> pairs, int addend, bool causal) {
  return {.batch = 3,
          .heads = 2,
          .length = 150,
          .keys = 150,
          .head = 16,
          .pairs = std::move(pairs),
          .addend = addend,
          .key_mask = true,
          .segments = true,
          .causal = causal,
          .documents = {71, 1, 40, 17},
          .positions = true};
}

TEST(DotAttentionByTensorCores, NoPairs) {
  check({3, 2, 70, 70, 16, {}, 3, true, true, true});
  check({3, 2, 65, 130, 80, {}, 2, true, true});
  check({2, 1, 33, 33, 16, {}, 0, true, true});
  for (const bool causal : {false, true}) check(documents({}, 3, causal));
}

TEST(DotAttentionByTensorCores, Documents) {
  for (const bool causal : {false, true}) {
    check(documents({{16, kOwn}}, 3, causal));
    check(documents({{16, kShared}, {32, kOwn}, {16, kShared}}, 3, causal));
    check(documents({{48, kShared}}, 0, causal));
  }
  Case one = documents({{80, kOwn}, {16, kShared}}, 3, true);  // larger sizes go another way
  one.head = 96;
  one.documents = {150};
  check(one);
  one.length = one.keys = 65;
  one.documents = {64, 1};
  check(one);
  one.documents = {1, 1, 3};
  check(one);
}

TEST(DotAttentionByTensorCores, QueriesThatAllHeadsShare) {
  for (const bool causal : {false, true}) {
    check({3, 2, 70, 70, 16, {{24, kCommon}}, 0, false, false, causal});
    check({3, 2, 33, 33, 32, {{16, kOwn}, {7, kCommon}, {16, kShared}, {40, kCommon}}, 3, true, true, causal});
    check(documents({{9, kCommon}, {16, kOwn}}, 3, causal));
    check(documents({{16, kCommon}, {16, kShared}}, 0, causal));
  }
  check({20, 1, 31, 65, 80, {{5, kCommon}, {96, kOwn}}, 2, true});
  check({1, 1, 1, 1, 16, {{1, kCommon}}});
}

// One example of a batch.
Tensors example_of(const Tensors& in, int64_t batch, int64_t b) {
  Tensors out;
  for (const Tensor& t : in) {
    out.push_back(t);
    if (t.type.shape.dims()[0].name != kBatch(1).name) continue;
    std::vector<Dim> dims = t.type.shape.dims();
    dims[0].size = 1;
    out.back().type.shape = Shape(dims);
    const int64_t size = t.size() / batch;
    out.back().values.assign(t.values.begin() + b * size, t.values.begin() + (b + 1) * size);
  }
  return out;
}

// A batch against each of its examples alone.
void check_examples(const Case& c, DType dtype) {
  const std::unique_ptr<KernelTable> table = make_test_kernels();
  const Tensors inputs = dtype == DType::kBFloat16 ? stored(c, inputs_of(c)) : as_type(inputs_of(c), dtype);
  const Tensors out = run_kernel(*table, DotAttention(c.options()), inputs), in = with_forward(inputs, out);
  const DotAttentionGradient op(c.options(), c.addend > 0);
  const Tensors all = run_kernel(*table, op, in);
  expect_equal(run_kernel(*table, op, in, kAllInPlace), all, "in place");
  std::vector<Tensors> each;
  for (int64_t b = 0; b < c.batch; ++b) {
    const Tensors one = example_of(in, c.batch, b);
    expect_near(run_kernel(*table, DotAttention(c.options()), {one.begin(), one.end() - 2}),
                example_of(out, c.batch, b), "example " + std::to_string(b));
    each.push_back(run_kernel(*table, op, one));
  }
  Tensors expected = all;
  for (size_t t = 0; t < all.size(); ++t) {
    Tensor& whole = expected[t];
    const bool summed = whole.size() == each[0][t].size();
    whole.values.assign(summed ? static_cast<size_t>(whole.size()) : 0, 0);
    for (const Tensors& one : each)
      if (!summed)
        whole.values.insert(whole.values.end(), one[t].values.begin(), one[t].values.end());
      else
        for (int64_t i = 0; i < whole.size(); ++i) whole[i] += one[t][i];
  }
  expect_near(all, expected, "whole batch");
}

// Scores of two examples are as much as is made at a time, and then there is one more. (Most tiles nobody sees.)
TEST(DotAttentionByTensorCores, ChunksOfExamples) {
  Case c = documents({{2, kCommon}, {16, kShared}, {1, kCommon}}, 3, true);
  for (const DType dtype : {DType::kBFloat16, DType::kFloat32}) check_examples(c, dtype);  // all at a time
  c.heads = 1;
  c.length = c.keys = 2500;
  c.documents = {40, 70, 1, 33};
  check_examples(c, DType::kBFloat16);
  c.positions = false;
  c.addend = 2;
  check_examples(c, DType::kBFloat16);
}

// Nothing is promised but that it is nowhere else that it reads and writes, and always the same.
TEST(DotAttentionByTensorCores, PositionsThatAreOfNoDocumentMayGiveAnything) {
  const Case c = documents({{16, kOwn}, {16, kShared}, {5, kCommon}}, 3, false);
  for (const DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    Tensors in = inputs_of(c);
    in.back().values = random_tensor(in.back().type.shape, 5, -20, 160).values;
    for (double& place : in.back().values) place = std::floor(place);
    for (int64_t i = 0; i < c.length; i += 10) in.back()[i] = i % 20 == 0 ? std::numeric_limits<int32_t>::max() : -1;
    in = dtype == DType::kBFloat16 ? stored(c, in) : as_type(in, dtype);
    std::vector<Tensors> runs;
    for (const KernelVariant& variant : kernel_variants()) {
      const std::unique_ptr<KernelTable> table = variant.make();
      const Tensors given = with_forward(in, run_kernel(*table, DotAttention(c.options()), in));
      runs.push_back(run_kernel(*table, DotAttentionGradient(c.options(), true), given));
    }
    for (const Tensors& run : runs) expect_equal(run, runs[0], "in another order");
  }
}

TEST(DotAttentionByTensorCores, AQueryThatSeesOneKeyHasNoGradient) {
  const Case c{2, 2, 70, 70, 32, {{48, kOwn}}, 3, false, false, true};
  const std::unique_ptr<KernelTable> table = make_test_kernels();
  const Tensors in = stored(c, inputs_of(c));
  const Tensors out = run_kernel(*table, DotAttention(c.options()), in);
  const Tensors d = run_kernel(*table, DotAttentionGradient(c.options(), true), with_forward(in, out));
  for (int64_t h = 0; h < c.heads; ++h) EXPECT_EQ(d[c.options().values() + 1][h * c.length * c.keys], 0);
  for (int64_t a = 0; a < c.heads * 48; ++a) EXPECT_EQ(d[0][a], 0);
}

TEST(DotAttentionByTensorCores, TheFirstQueryOfADocumentHasNoGradient) {
  const Case c = documents({{16, kShared}, {8, kCommon}}, 3, true);
  const std::unique_ptr<KernelTable> table = make_test_kernels();
  const Tensors in = stored(c, inputs_of(c));
  const Tensors out = run_kernel(*table, DotAttention(c.options()), in);
  const Tensors d = run_kernel(*table, DotAttentionGradient(c.options(), true), with_forward(in, out));
  for (int64_t h = 0; h < c.heads; ++h) EXPECT_EQ(d[c.options().values() + 1][h * c.length * c.keys], 0);
  for (const int64_t i : {0, 71, 72, 112}) {  // of the first example
    for (int64_t a = 0; a < c.heads * 16; ++a) EXPECT_EQ(d[0][i * c.heads * 16 + a], 0);
    for (int64_t a = 0; a < 8; ++a) EXPECT_EQ(d[2][i * 8 + a], 0);
  }
}

TEST(DotAttentionByTensorCores, RowsThatSeeNothingAndScoresThatAreNotFinite) {
  const Case c{1, 1, 1, 70, 16, {{16, kOwn}}, 2, true};
  const std::unique_ptr<KernelTable> table = make_test_kernels();
  Tensors in = stored(c, inputs_of(c));
  Tensor& addend = in[c.options().values() + 1];
  Tensor& mask = in[c.options().mask()];
  const auto y = [&] { return run_kernel(*table, DotAttention(c.options()), in)[0][0]; };
  const double infinity = std::numeric_limits<double>::infinity();
  for (int64_t j = 0; j < 64; ++j) addend[j] = -infinity;  // a whole tile
  EXPECT_TRUE(std::isfinite(y()));
  for (int64_t j = 64; j < 70; ++j) addend[j] = -infinity;
  EXPECT_TRUE(std::isnan(y()));
  addend[69] = infinity;
  EXPECT_TRUE(std::isnan(y()));
  mask[69] = 0;
  addend[3] = 1;
  EXPECT_TRUE(std::isfinite(y()));
  for (double& live : mask.values) live = 0;
  EXPECT_EQ(y(), 0);
}

}  // namespace
}  // namespace synthesizer
