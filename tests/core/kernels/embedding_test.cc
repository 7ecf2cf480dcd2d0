// Rows of tables: embedding, relative bias, slices, padding, constants, the optimizer's updates.
#include "core/ops/embedding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/shape.h"
#include "core/ops/update.h"
#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

// Many of one id, ids beyond the table on both sides.
Tensor some_ids(int64_t n, int64_t vocab) {
  Tensor ids = integers(Shape{kBatch(1), kLength(n)}, {});
  for (int64_t i = 0; i < n; ++i) ids.values.push_back(static_cast<double>(i % 3 == 0 ? 2 : (i * 7) % (vocab + 2) - 1));
  return ids;
}

TEST(Embedding, GathersRowsAndAddsThemUp) {
  constexpr int64_t kRows = 37;
  for (const int64_t width : {1, 31, 511}) {
    for (const int64_t first : {0, 5}) {
      const Tensor ids = some_ids(203, kRows);
      const auto row = [&](int64_t i) {
        const int64_t r = static_cast<int64_t>(ids[i]) - first;
        return r >= 0 && r < kRows ? r : -1;
      };
      const Reference gather = [&](const Tensors& in, Tensors& out) {
        for (int64_t i = 0; i < ids.size(); ++i)
          for (int64_t j = 0; row(i) >= 0 && j < width; ++j) out[0][i * width + j] = in[0][row(i) * width + j];
      };
      const Shape table{kVocab(kRows), kModel(width)};
      check_kernel(Embedding(first), {random_tensor(table, 41), ids}, gather, {0, 0});
      for (const bool has_base : {false, true}) {
        const Reference add = [&](const Tensors& in, Tensors& out) {
          if (has_base) out[0].values = in[2].values;
          for (int64_t i = 0; i < ids.size(); ++i)
            for (int64_t j = 0; row(i) >= 0 && j < width; ++j) out[0][row(i) * width + j] += in[1][i * width + j];
        };
        Tensors inputs{ids, random_tensor(Shape{kBatch(1), kLength(203), kModel(width)}, 42)};
        if (has_base) inputs.push_back(random_tensor(table, 43));
        check_kernel(EmbeddingGradient(kVocab(kRows), first, has_base), inputs, add, {2e-6, 1e-14});
      }
    }
  }
}

// Rows of one id in the order of the ids' positions, however many: to the bit. Most ids are the same one.
TEST(EmbeddingGradient, AddsInTheOrderOfPositions) {
  constexpr int64_t kRows = 300, kIds = 4100;
  for (const int64_t width : {3, 12}) {
    Tensor ids = integers(Shape{kLength(kIds)}, {});
    for (int64_t i = 0; i < kIds; ++i)
      ids.values.push_back(static_cast<double>(i % 5 < 3 ? 7 : (i * 131) % (kRows + 9)));
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
      const Tensors inputs = as_type({ids, random_tensor(Shape{kLength(kIds), kModel(width)}, 49)}, dtype);
      std::vector<float> expected(static_cast<size_t>(kRows * width));
      for (int64_t i = 0; i < kIds * width; ++i)
        if (const auto row = static_cast<int64_t>(ids[i / width]); row < kRows)
          expected[static_cast<size_t>(row * width + i % width)] += static_cast<float>(inputs[1][i]);
      for (const KernelVariant& variant : kernel_variants()) {
        const Tensors got = run_kernel(*variant.make(), EmbeddingGradient(kVocab(kRows), 0, false), inputs);
        for (int64_t i = 0; i < kRows * width; ++i)
          ASSERT_EQ(got[0][i], static_cast<double>(expected[static_cast<size_t>(i)])) << variant.name << ", " << i;
      }
    }
  }
}

// So many that a bucket is one distance for most of them.
TEST(RelativeBias, HasAsManyBucketsAsAsked) {
  const RelativeBiasOptions options{331, 333, true, 5000};
  const Reference forward = [&](const Tensors& in, Tensors& out) {
    for (int64_t i = 0; i < 331 * 333; ++i) out[0][i] = in[0][relative_bucket(i % 333 - i / 333, 1200, 5000, true)];
  };
  check_kernel(RelativeBias(options), {random_tensor(Shape{kBuckets(1200), kHeads(1)}, 44)}, forward, {0, 0});
  const Reference gradient = [&](const Tensors& in, Tensors& out) {
    for (int64_t i = 0; i < 331 * 333; ++i) out[0][relative_bucket(i % 333 - i / 333, 1200, 5000, true)] += in[0][i];
  };
  const Shape y{kHeads(1), kLength(331), kMemoryLength(333)};
  check_kernel(RelativeBiasGradient(options, 1200), {random_tensor(y, 45)}, gradient, {2e-7, 1e-13});
}

TEST(RelativeBias, IsTheTableAtTheBucket) {
  for (const bool bidirectional : {false, true}) {
    for (const auto& sizes : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {33, 31}, {31, 300}, {300, 31}}) {
      const int64_t length = sizes.first, memory = sizes.second;
      const RelativeBiasOptions options{length, memory, bidirectional, 128};
      const Shape y{kHeads(3), kLength(length), kMemoryLength(memory)};
      const auto bucket = [&](int64_t i, int64_t j) { return relative_bucket(j - i, 32, 128, bidirectional); };
      const Reference forward = [&](const Tensors& in, Tensors& out) {
        for (int64_t h = 0; h < 3; ++h)
          for (int64_t i = 0; i < length; ++i)
            for (int64_t j = 0; j < memory; ++j) out[0][(h * length + i) * memory + j] = in[0][bucket(i, j) * 3 + h];
      };
      check_kernel(RelativeBias(options), {random_tensor(Shape{kBuckets(32), kHeads(3)}, 44)}, forward, {0, 0});
      const Reference gradient = [&](const Tensors& in, Tensors& out) {
        for (int64_t h = 0; h < 3; ++h)
          for (int64_t i = 0; i < length; ++i)
            for (int64_t j = 0; j < memory; ++j) out[0][bucket(i, j) * 3 + h] += in[0][(h * length + i) * memory + j];
      };
      check_kernel(RelativeBiasGradient(options, 32), {random_tensor(y, 45)}, gradient, {2e-7, 1e-13});
    }
  }
}

TEST(Shape, SlicePadSliceAt) {
  for (const std::string& dim : {std::string("batch"), std::string("length"), std::string("model")}) {
    const Shape x{kBatch(5), kLength(33), kModel(31)};
    const auto index = [&](const Shape& shape, int64_t i) {
      return i / shape.strides()[shape.index(dim)] % shape.size(dim);
    };
    for (const int64_t begin : {0, 2}) {
      const Reference slice = [&](const Tensors& in, Tensors& out) {
        int64_t next = 0;
        for (int64_t i = 0; i < in[0].size(); ++i)
          if (index(x, i) >= begin && index(x, i) < begin + 3) out[0][next++] = in[0][i];
      };
      check_kernel(Slice(dim, begin, 3), {random_tensor(x, 46)}, slice, {0, 0});
      const Reference pad = [&](const Tensors& in, Tensors& out) {
        int64_t next = 0;
        for (int64_t i = 0; i < out[0].size(); ++i)
          if (index(out[0].type.shape, i) >= begin && index(out[0].type.shape, i) < begin + x.size(dim))
            out[0][i] = in[0][next++];
      };
      check_kernel(Pad(dim, begin, 4), {random_tensor(x, 47)}, pad, {0, 0});
      const Reference at = [&](const Tensors& in, Tensors& out) {
        int64_t next = 0;
        for (int64_t i = 0; i < in[0].size(); ++i)
          if (index(x, i) == begin) out[0][next++] = in[0][i];
      };
      check_kernel(SliceAt(dim), {random_tensor(x, 48), scalar(static_cast<double>(begin), DType::kInt64)}, at, {0, 0});
    }
  }
}

// The CPU refuses it; a device, where the position is not known before it runs, gives what no one takes for a number.
TEST(SliceAt, APositionOutsideGivesNoNumber) {
  const std::unique_ptr<KernelTable> table = make_test_kernels(1);
  for (const double position : {-1.0, 3.0}) {
    const Tensors inputs{random_tensor(Shape{kModel(3)}, 1), scalar(position, DType::kInt64)};
    if (table->device() == nullptr)
      EXPECT_THROW(run_kernel(*table, SliceAt("model"), inputs), Error);
    else
      EXPECT_TRUE(std::isnan(run_kernel(*table, SliceAt("model"), inputs)[0][0]));
  }
}

TEST(Constant, FillsEveryType) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kInt32, DType::kInt64}) {
    const Tensors y = run_kernel(*make_test_kernels(2), Constant(dtype, Shape{kModel(20011)}, 3), {});
    for (const double v : y[0].values) ASSERT_EQ(v, 3);
  }
}

TEST(AdamW, IsThePublishedStep) {
  AdamWOptions o;
  o.weight_decay = 0.01;
  for (const int64_t n : {1, 33, 9001}) {
    for (const double apply : {0.0, 1.0}) {
      const Reference reference = [&](const Tensors& in, Tensors& out) {
        const double t = in[6][0] + 1;
        for (int64_t i = 0; i < n; ++i) {
          const double g = in[5][0] * in[3][i];
          const double m = o.beta1 * in[1][i] + (1 - o.beta1) * g, v = o.beta2 * in[2][i] + (1 - o.beta2) * g * g;
          const double step = m / (1 - std::pow(o.beta1, t)) / (std::sqrt(v / (1 - std::pow(o.beta2, t))) + o.epsilon);
          out[0][i] = apply != 0 ? in[0][i] - in[4][0] * (step + o.weight_decay * in[0][i]) : in[0][i];
          out[1][i] = apply != 0 ? m : in[1][i];
          out[2][i] = apply != 0 ? v : in[2][i];
        }
      };
      const Shape x{kModel(n)};
      check_kernel(AdamW(o),
                   {random_tensor(x, 51), random_tensor(x, 52), random_tensor(x, 53, 0.01, 1), random_tensor(x, 54),
                    scalar(1e-2), scalar(0.5), scalar(7, DType::kInt64), scalar(apply)},
                   reference, {1e-6, 1e-14});
    }
  }
}

TEST(Assign, OverwritesIfAsked) {
  for (const double apply : {0.0, 1.0}) {
    const Reference reference = [&](const Tensors& in, Tensors& out) { out[0].values = in[apply != 0 ? 1 : 0].values; };
    const Shape x{kModel(9001)};
    check_kernel(Assign(), {random_tensor(x, 55), random_tensor(x, 56), scalar(apply)}, reference, {0, 0});
  }
}

TEST(Accumulate, AddsInOrderAndIntoAnAddend) {
  const Reference reference = [](const Tensors& in, Tensors& out) {
    for (size_t i = 0; i < out[0].values.size(); ++i) out[0].values[i] = in[1][i] + in[2][i] + in[3][i];
  };
  const Shape x{kModel(9001)};
  check_kernel(Accumulate(true), {random_tensor(x, 1), random_tensor(x, 2), random_tensor(x, 3), random_tensor(x, 4)},
               reference, {1e-6, 1e-15});
}

TEST(Accumulate, AddsManyAddends) {
  Tensors inputs;
  for (uint64_t i = 0; i < 13; ++i) inputs.push_back(random_tensor(Shape{kModel(1031)}, i));
  const Reference reference = [](const Tensors& in, Tensors& out) {
    for (const Tensor& addend : in)
      for (size_t i = 0; i < out[0].values.size(); ++i) out[0].values[i] += addend.values[i];
  };
  check_kernel(Accumulate(false), inputs, reference, {1e-6, 1e-15});
}

}  // namespace
}  // namespace synthesizer
