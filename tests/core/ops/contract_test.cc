// What ops refuse and in which words, which gradients they build, and T5's buckets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/graph/differentiate.h"
#include "core/graph/leaf.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/dropout.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/reduce.h"
#include "core/ops/rms_norm.h"
#include "core/ops/shape.h"
#include "core/ops/shared_attention.h"
#include "core/ops/softmax.h"
#include "core/ops/update.h"

namespace synthesizer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class Refused : public ::testing::Test {
 protected:
  Value f32(const Shape& shape) { return make(DType::kFloat32, shape); }
  Value i32(const Shape& shape) { return make(DType::kInt32, shape); }
  Value make(DType dtype, const Shape& shape) { return input(graph_, fmt::format("x{}", count_++), dtype, shape); }

  Graph graph_;

 private:
  int count_ = 0;
};

// Message: "[op] what: got …, expected …" and the node.
#define EXPECT_REFUSED(expression, ...) \
  EXPECT_THAT([&] { (void)(expression); }, ThrowsMessage<Error>(AllOf(__VA_ARGS__)))

TEST_F(Refused, ByEinsum) {
  const Value a = f32({kBatch(8), kModel(5)}), b = f32({kModel(6), kFf(3)});
  EXPECT_REFUSED(einsum(a, b, {"model"}), HasSubstr("[einsum] dimension model: got f32 [batch 8, model 5]"));
  EXPECT_REFUSED(einsum(a, b, {"batch"}), HasSubstr("contracted dimension batch"), HasSubstr("expected it in both"));
  EXPECT_REFUSED(einsum_to(a, f32({kModel(5)}), {"length"}), HasSubstr("output dimension length"));
  EXPECT_REFUSED(einsum_to(a, f32({kModel(5)}), {}), HasSubstr("contracted dimension batch"));
  EXPECT_REFUSED(einsum_to(a, i32({kModel(5)}), {"batch"}), HasSubstr("input 1: got i32 [model 5]"));
}

TEST_F(Refused, NamesTheNode) {
  const ScopedName scope(graph_, "encoder.layers.0");
  EXPECT_REFUSED(einsum(f32({kModel(5)}), f32({kModel(6)}), {"model"}), HasSubstr("encoder.layers.0/einsum"));
}

TEST_F(Refused, ByElementwise) {
  EXPECT_REFUSED(f32({kModel(5)}) + f32({kModel(6)}), HasSubstr("[add] dimension model"), HasSubstr("equal sizes"));
  EXPECT_REFUSED(f32({}) * make(DType::kFloat64, {}), HasSubstr("[multiply]"), HasSubstr("expected f32"));
  EXPECT_REFUSED(relu(i32({kModel(5)})), HasSubstr("[relu] input: got i32 [model 5], expected f32, f64 or bf16"));
}

TEST_F(Refused, ByShapes) {
  const Value x = f32({kPosition(8), kModel(5)});
  EXPECT_REFUSED(slice(x, "position", 4, 5), HasSubstr("[slice] position: got elements 4 to 9"));
  EXPECT_REFUSED(pad(x, "position", -1, 0), HasSubstr("[pad] position"));
  EXPECT_REFUSED(rename(x, "length", "memory_length"), HasSubstr("expected a dimension length"));
  EXPECT_REFUSED(merge(x, {"model", "position"}, "ff"), HasSubstr("side by side"));
  EXPECT_REFUSED(split(x, "model", {kFactorA(2), kFactorB(3)}), HasSubstr("[reshape] number of elements"));
  EXPECT_REFUSED(broadcast(x, {kModel(5)}), HasSubstr("[broadcast] output"), HasSubstr("a dimension position"));
  EXPECT_REFUSED(reduce_sum(x, {"heads"}), HasSubstr("[reduce_sum] input"), HasSubstr("a dimension heads"));
}

// A batch longer than the model's parameters is wrong use.
TEST_F(Refused, LengthsBeyondTheMaximum) {
  const Value x = f32({kPosition(8), kModel(5)});
  EXPECT_EQ(truncate(x, "position", "length", 8).shape(), (Shape{kLength(8), kModel(5)}));
  EXPECT_EQ(truncate(x, "position", "length", 3).shape(), (Shape{kLength(3), kModel(5)}));
  EXPECT_THAT([&] { truncate(x, "position", "length", 9); },
              ThrowsMessage<UsageError>(AllOf(HasSubstr("length: got 9"), HasSubstr("at most 8"))));
}

TEST_F(Refused, ByTheOthers) {
  const Value x = f32({kBatch(2), kLength(3), kModel(5)});
  EXPECT_REFUSED(softmax(x, "memory_length"), HasSubstr("[softmax] input"), HasSubstr("memory_length"));
  EXPECT_REFUSED(softmax(x, "model", f32({kHeads(2)})), HasSubstr("to add an addend to"));
  EXPECT_REFUSED(softmax(x, "model", {}, i32({kBatch(3), kModel(5)})), HasSubstr("[softmax] dimension batch"));
  EXPECT_REFUSED(softmax(x, "model", {}, f32({kBatch(2), kModel(5)})), HasSubstr("key mask"));
  EXPECT_REFUSED(rms_norm(x, f32({kModel(6)}), "model", 1e-6), HasSubstr("[rms_norm] scale: got f32 [model 6]"));
  EXPECT_REFUSED(rms_norm(x, f32({kLength(3)}), "length", 1e-6), HasSubstr("expected length last"));
  EXPECT_REFUSED(embedding(f32({kVocab(9), kModel(5)}), f32({kLength(3)})), HasSubstr("[embedding] ids"));
  EXPECT_REFUSED(linear_cross_entropy(x, f32({kVocab(9), kModel(5)}), i32({kBatch(2), kLength(4)}), 9, {}),
                 HasSubstr("[linear_cross_entropy] targets"));
  EXPECT_REFUSED(linear_cross_entropy(x, f32({kVocab(9), kModel(5)}), i32({kBatch(2), kLength(3)}), 10, {}),
                 HasSubstr("true vocabulary: got 10, expected 1 to 9"));
  EXPECT_REFUSED(dropout(x, 1.0, {}, make(DType::kInt64, {}), 1), HasSubstr("[dropout] rate: got 1"));
  EXPECT_REFUSED(relative_bias(f32({kBuckets(2), kHeads(3)}), {3, 3, true, 128}), HasSubstr("2 buckets"));
  const Value scores = f32({kHeads(2), kLength(3), kMemoryLength(4)});
  EXPECT_REFUSED(shared_attention(scores, scores, f32({kBatch(2), kMemoryLength(5), kHeads(2), kHead(3)}),
                                  i32({kBatch(2), kMemoryLength(5)}), false),
                 HasSubstr("[shared_attention] values"), HasSubstr("memory_length 4"));
  EXPECT_REFUSED(assign(x, f32({kModel(5)}), f32({})), HasSubstr("[assign] value"));
}

size_t count(const Graph& graph, std::string_view op) {
  size_t n = 0;
  for (const Node& node : graph.nodes()) n += node.op->name() == op;
  return n;
}

// Only the gradients that somebody asked for are built.
TEST(Gradient, OnlyWhatIsNeeded) {
  Graph g;
  const Value x = input(g, "x", DType::kFloat32, {kBatch(2), kModel(3)});
  const Value w = parameter(g, "w", DType::kFloat32, {kModel(3), kFf(4)}, {});
  const Value loss = reduce_sum(einsum(x, w, {"model"}), {"batch", "ff"});
  const std::vector<Value> wanted = {w};
  const auto gradients = differentiate(loss, wanted, [](Value a, Value b) { return a + b; });
  EXPECT_EQ(gradients[0].type(), w.type());
  EXPECT_EQ(count(g, "einsum"), 2u);
}

// The gradient's mask is the forward mask: the same op under the forward node's name.
TEST(Gradient, OfDropoutKeepsTheName) {
  Graph g;
  const Value x = parameter(g, "x", DType::kFloat32, {kBatch(2), kModel(3)}, {});
  const Value step = input(g, "step", DType::kInt64, {});
  const ScopedName scope(g, "encoder");
  const Value first = dropout(x, 0.1, {}, step, 1), second = dropout(first, 0.1, {}, step, 1);
  const auto hash = [](Value v) { return dynamic_cast<const Dropout&>(*v.node().op).name_hash(); };
  EXPECT_EQ(first.node().name, "encoder/dropout");
  EXPECT_EQ(second.node().name, "encoder/dropout_2");
  EXPECT_NE(hash(first), hash(second));
  const std::vector<Value> wanted = {x};
  const auto gradients =
      differentiate(reduce_sum(second, {"batch", "model"}), wanted, [](Value a, Value b) { return a + b; });
  EXPECT_EQ(hash(gradients[0]), hash(first));
  EXPECT_EQ(dropout(x, 0, {}, step, 1), x);
}

// From the tables of T5: 32 buckets, maximum distance 128; relative is key − query.
TEST(RelativeBucket, IsT5s) {
  const auto both = [](int64_t relative) { return relative_bucket(relative, 32, 128, true); };
  const auto left = [](int64_t relative) { return relative_bucket(relative, 32, 128, false); };
  const std::vector<int> begins = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91};
  for (int bucket = 0; bucket < 16; ++bucket) {
    const int begin = begins[static_cast<size_t>(bucket)];
    EXPECT_EQ(both(-begin), bucket);
    if (begin > 0) {
      EXPECT_EQ(both(begin), 16 + bucket);
      EXPECT_EQ(both(1 - begin), bucket - 1);
    }
  }
  EXPECT_EQ(both(-100000), 15);
  EXPECT_EQ(both(100000), 31);
  EXPECT_EQ(left(5), 0);
  EXPECT_EQ(left(-15), 15);
  EXPECT_EQ(left(-18), 16);
  EXPECT_EQ(left(-19), 17);
  EXPECT_EQ(left(-112), 30);
  EXPECT_EQ(left(-113), 31);
  EXPECT_EQ(left(-100000), 31);
}

}  // namespace
}  // namespace synthesizer
