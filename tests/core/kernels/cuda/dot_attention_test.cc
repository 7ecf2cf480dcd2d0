// Attention of bfloat16 by tensor cores against that of the same numbers in float32, which plain multiplications make.
#include "core/ops/dot_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "core/kernels/cuda/launch.h"
#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

struct Case {
  int64_t batch, heads, length, keys, head;
  std::vector<std::pair<int64_t, bool>> pairs;  // width, and whether the keys are shared
  int addend = 0;                               // how many dims
  bool key_mask = false, segments = false, causal = false;

  DotAttentionOptions options() const {
    DotAttentionOptions o;
    for (const auto& [width, shared] : pairs) o.kinds.push_back(shared ? PairKind::kShared : PairKind::kOwn);
    o.addend = addend > 0;
    o.key_mask = key_mask;
    o.segments = segments;
    o.causal = causal;
    return o;
  }
};

std::set<std::string> g_launched;

// Example 1 has few keys, example 2 none. Segments are 1, 2 and 3.
Tensors inputs_of(const Case& c) {
  const Dim batch = kBatch(c.batch), heads = kHeads(c.heads), length = kLength(c.length), keys = kMemoryLength(c.keys);
  Tensors in;
  uint64_t seed = 31;
  const auto add = [&](Shape shape, double bound) {
    in.push_back(random_tensor(std::move(shape), ++seed, -bound, bound));
  };
  for (const auto& [width, shared] : c.pairs) {
    const Dim inner = DimName{"inner"}(width);
    add({batch, length, heads, inner}, 1);
    add(shared ? Shape{heads, inner, keys} : Shape{batch, keys, heads, inner}, 0.5);
  }
  add({batch, keys, heads, kHead(c.head)}, 1);
  if (c.addend == 3) add({heads, length, keys}, 2);
  if (c.addend == 2) add({heads, keys}, 2);
  const auto segment = [](int64_t i, int64_t n) { return static_cast<double>(1 + 3 * i / n); };
  Tensor mask = integers(Shape{batch, keys}, {}), segments = integers(Shape{batch, length}, {});
  for (int64_t b = 0; b < c.batch; ++b) {
    for (int64_t j = 0; j < c.keys; ++j) {
      const bool live = b == 0 || b > 2 || (b == 1 && j % 3 == 1 && j < c.keys / 2);
      mask.values.push_back(!live ? 0 : c.segments ? segment(j, c.keys) : 1);
    }
    for (int64_t i = 0; i < c.length; ++i) segments.values.push_back(segment(i, c.length));
  }
  if (c.key_mask) in.push_back(mask);
  if (c.segments) in.push_back(segments);
  return in;
}

// In bfloat16, but for what all examples share: there the same numbers, in float32.
Tensors stored(const Case& c, const Tensors& in) {
  Tensors rounded = as_type(in, DType::kBFloat16);
  const auto widen = [&](size_t i) { rounded[i].type.dtype = DType::kFloat32; };
  for (size_t p = 0; p < c.pairs.size(); ++p)
    if (c.pairs[p].second) widen(2 * p + 1);
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

void check(const Case& c) {
  const std::string what = "length " + std::to_string(c.length) + ", keys " + std::to_string(c.keys) + ", head " +
                           std::to_string(c.head) + ", addend " + std::to_string(c.addend) +
                           (c.key_mask ? ", mask" : "") + (c.segments ? ", segments" : "") +
                           (c.causal ? ", causal" : "");
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
    Tensors given = in;
    given.push_back(out[1]);
    given.push_back(as_type({random_tensor(out[0].type.shape, 77)}, DType::kBFloat16)[0]);
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
      check({1, 1, length, length == 64 ? 65 : length, head, {{head, false}}});
    }
  check({1, 1, 33, 130, 32, {{48, false}}});
}

TEST(DotAttentionByTensorCores, MasksAndAddends) {
  for (const int addend : {0, 2, 3})
    for (int bits = 0; bits < 6; ++bits)
      check({.batch = 3,
             .heads = 2,
             .length = 70,
             .keys = 70,
             .head = 16,
             .pairs = {{16, false}},
             .addend = addend,
             .key_mask = bits / 2 > 0,
             .segments = bits / 2 > 1,
             .causal = bits % 2 > 0});
  check({2, 1, 200, 200, 16, {{16, false}}, 0, true, true, true});
}

TEST(DotAttentionByTensorCores, SharedKeysAndSeveralPairs) {
  check({3, 2, 33, 65, 16, {{32, true}}, 2, true});
  check({20, 1, 20, 70, 32, {{16, true}, {32, false}}, 2, true});
  check({3, 1, 65, 66, 64, {{64, false}, {64, true}}, 3, true, false, true});
  check({2, 1, 40, 40, 16, {{16, true}, {16, false}, {32, true}}});
}

TEST(DotAttentionByTensorCores, AQueryThatSeesOneKeyHasNoGradient) {
  const Case c{2, 2, 70, 70, 32, {{48, false}}, 3, false, false, true};
  const std::unique_ptr<KernelTable> table = make_test_kernels();
  Tensors in = stored(c, inputs_of(c));
  const Tensors out = run_kernel(*table, DotAttention(c.options()), in);
  in.push_back(out[1]);
  in.push_back(as_type({random_tensor(out[0].type.shape, 77)}, DType::kBFloat16)[0]);
  const Tensors d = run_kernel(*table, DotAttentionGradient(c.options(), true), in);
  for (int64_t h = 0; h < c.heads; ++h) EXPECT_EQ(d[c.options().values() + 1][h * c.length * c.keys], 0);
  for (int64_t a = 0; a < c.heads * 48; ++a) EXPECT_EQ(d[0][a], 0);
}

TEST(DotAttentionByTensorCores, RowsThatSeeNothingAndScoresThatAreNotFinite) {
  const Case c{1, 1, 1, 70, 16, {{16, false}}, 2, true};
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
