// Chains in each order, with sums that are cut in one group and in several: against plain loops.
#include "core/ops/chain.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/ops/elementwise.h"
#include "core/ops/update.h"
#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

constexpr Tolerance kTolerance{1e-6, 1e-13};

// v = x · row + column; y = tanh(v), and the sums over the dims given of v (the squares of it, for the second).
void check_chain(const Shape& over, const std::vector<DimNames>& sums) {
  const Dim length = over.dims()[over.rank() - 2], model = over.dims().back();
  std::vector<ChainStep> steps{{std::make_shared<Binary>(BinaryFunction::kMultiply), {0, 1}},
                               {std::make_shared<Binary>(BinaryFunction::kAdd), {3, 2}},
                               {std::make_shared<Unary>(UnaryFunction::kTanh), {4}}};
  std::vector<int> results{5};
  for (size_t i = 0; i < sums.size(); ++i) {
    steps.push_back(
        {std::make_shared<Reduce>(i % 2 == 0 ? ReduceFunction::kSum : ReduceFunction::kSumSquares, sums[i]), {4}});
    results.push_back(6 + static_cast<int>(i));
  }
  const Reference reference = [&](const Tensors& in, Tensors& out) {
    std::vector<Shape> shapes{over, in[1].type.shape, in[2].type.shape};
    for (size_t i = 1; i < out.size(); ++i) shapes.push_back(out[i].type.shape);
    for_each_index(over.dims(), shapes, [&](const std::vector<int64_t>& at) {
      const double v = in[0][at[0]] * in[1][at[1]] + in[2][at[2]];
      out[0][at[0]] = std::tanh(v);
      for (size_t i = 1; i < out.size(); ++i) out[i][at[i + 2]] += i % 2 == 1 ? v : v * v;
    });
  };
  // Of one sign: sums are then as large as what was added up.
  check_kernel(Chain(over, 3, steps, results),
               {random_tensor(over, 41, 0.1, 1), random_tensor(Shape{length}, 42, 0.5, 1),
                random_tensor(Shape{model}, 43, 0.1, 1)},
               reference, kTolerance);
}

TEST(Chain, EveryOrderAtEverySize) {
  for (const auto& [length, model] : {std::pair{131, 67}, {3, 1500}, {700, 5}, {1000, 1}, {40, 260}, {2, 2}}) {
    for (const Shape& over :
         {Shape{kLength(length), kModel(model)}, Shape{kHeads(3), kLength(length), kModel(model)}}) {
      check_chain(over, {});
      check_chain(over, {over.names()});
      check_chain(over, {over.names(), over.names()});
      check_chain(over, {{"model"}, {"model"}});
      check_chain(over, {{"length"}});
      check_chain(over, {{"length"}, {"length"}, {"length"}});
      if (model > 1) check_chain(over, {{"length"}, {"model"}});
      if (model > 1) check_chain(over, {{"model"}, {"length"}, {"length"}, {"model"}});
      if (over.rank() == 2) continue;
      check_chain(over, {{"heads"}});
      check_chain(over, {{"heads", "model"}});
      check_chain(over, {{"heads"}, {"length", "model"}});
    }
  }
}

TEST(Chain, SumsAreThoseOfReduce) {
  for (const Shape& over : {Shape{kLength(700), kModel(33)}, Shape{kLength(5), kModel(1111)}}) {
    const Tensor x = random_tensor(over, 44);
    for (const std::vector<DimNames>& sums :
         {std::vector<DimNames>{{"model"}, {"length"}}, {{"length"}}, {{"model"}}, {{"length", "model"}}}) {
      std::vector<ChainStep> steps;
      std::vector<int> results;
      for (const DimNames& names : sums) {
        results.push_back(1 + static_cast<int>(steps.size()));
        steps.push_back({std::make_shared<Reduce>(ReduceFunction::kSumSquares, names), {0}});
      }
      for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
        const Tensors given = as_type({x}, dtype);
        const std::unique_ptr<KernelTable> table = make_test_kernels(1);
        const Tensors got = run_kernel(*table, Chain(over, 1, steps, results), given);
        for (size_t i = 0; i < sums.size(); ++i) {
          const Tensors alone = run_kernel(*table, Reduce(ReduceFunction::kSumSquares, sums[i]), given);
          EXPECT_EQ(got[i].values, alone[0].values) << over.to_string() << " over " << sums[i].front();
        }
      }
    }
  }
}

// state := state / 2 + x where `apply` says so.
TEST(Chain, AssignsWhatIsToBeApplied) {
  const Shape over{kLength(31), kModel(37)};
  const std::vector<ChainStep> steps{{std::make_shared<Unary>(UnaryFunction::kAffine, 0.5, 0.0), {0}},
                                     {std::make_shared<Binary>(BinaryFunction::kAdd), {3, 1}},
                                     {std::make_shared<Assign>(), {0, 4, 2}}};
  const Chain chain(over, 3, steps, {5});
  const Tensors inputs{random_tensor(over, 45), random_tensor(over, 46), scalar(1)};
  const auto tables = kernel_variants();
  for (const KernelVariant& variant : tables) {
    const std::unique_ptr<KernelTable> table = variant.make();
    const Tensors y = run_kernel(*table, chain, inputs, 0);
    for (int64_t i = 0; i < y[0].size(); ++i)
      ASSERT_DOUBLE_EQ(y[0][i], inputs[0][i] * 0.5 + inputs[1][i]) << variant.name << " " << i;
    Tensors off = inputs;
    off[2] = scalar(0);
    EXPECT_EQ(run_kernel(*table, chain, off, 0)[0].values, inputs[0].values);
  }
}

}  // namespace
}  // namespace synthesizer
