// Einsum against a sum over all indices: the products of attention and their gradients, odd sizes, tiny and degenerate
// ones.
#include "core/ops/einsum.h"

#include <gtest/gtest.h>

#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

struct EinsumCase {
  std::string a, b, c;  // dims by letter, like "blha"
};

// Sizes of the letters: odd, different, some above a vector's length.
int64_t size_of_letter(char letter, int scale) {
  const std::string letters = "blmhadfenrjk";
  const int64_t sizes[2][12] = {{2, 5, 7, 3, 4, 6, 9, 8, 31, 33, 2, 3}, {3, 33, 31, 2, 17, 65, 129, 16, 511, 8, 1, 2}};
  return sizes[scale][letters.find(letter)];
}

Shape shape_of(const std::string& letters, int scale) {
  std::vector<Dim> dims;
  for (const char letter : letters) dims.push_back({std::string(1, letter), size_of_letter(letter, scale)});
  return Shape(dims);
}

class EinsumTest : public testing::TestWithParam<EinsumCase> {};

TEST_P(EinsumTest, IsTheSumOverAllIndices) {
  const EinsumCase& c = GetParam();
  for (const int scale : {0, 1}) {
    const Shape a = shape_of(c.a, scale), b = shape_of(c.b, scale), out = shape_of(c.c, scale);
    std::vector<Dim> dims = a.dims();
    for (const Dim& dim : b.dims())
      if (!a.has(dim.name)) dims.push_back(dim);
    const Reference reference = [&](const Tensors& in, Tensors& outputs) {
      for_each_index(dims, {a, b, out},
                     [&](const std::vector<int64_t>& at) { outputs[0][at[2]] += in[0][at[0]] * in[1][at[1]]; });
    };
    check_kernel(Einsum(out.names()), {random_tensor(a, 1), random_tensor(b, 2)}, reference, {5e-6, 1e-13, false});
  }
}

INSTANTIATE_TEST_SUITE_P(Products, EinsumTest,
                         testing::Values(EinsumCase{"bld", "dha", "blha"},    // a projection
                                         EinsumCase{"bld", "blha", "dha"},    // its weight's gradient
                                         EinsumCase{"blha", "dha", "bld"},    // its input's gradient
                                         EinsumCase{"bld", "dha", "bhla"},    // a projection with heads first
                                         EinsumCase{"blha", "bmha", "bhlm"},  // query · key
                                         EinsumCase{"bhlm", "bmha", "blha"},  // weights · values
                                         EinsumCase{"bhlm", "blha", "bmha"},  // their gradients
                                         EinsumCase{"blha", "bhlm", "bmha"},  //
                                         EinsumCase{"blha", "ham", "blhm"},   // Dense: hidden · w2
                                         EinsumCase{"blha", "blhm", "ham"},   //
                                         EinsumCase{"blhm", "bmha", "blha"},  //
                                         EinsumCase{"hlm", "bmha", "blha"},   // an alignment shared by the batch
                                         EinsumCase{"blha", "bmha", "hlm"},   //
                                         EinsumCase{"hlm", "blha", "bmha"},   //
                                         EinsumCase{"hlr", "hmr", "hlm"},     // factorized random
                                         EinsumCase{"hlm", "hlr", "hmr"},     //
                                         EinsumCase{"hlm", "hmr", "hlr"}),
                         [](const auto& info) { return info.param.a + "_" + info.param.b + "_" + info.param.c; });

INSTANTIATE_TEST_SUITE_P(Degenerate, EinsumTest,
                         testing::Values(EinsumCase{"blha", "blhe", "blhae"},   // outer products
                                         EinsumCase{"blhae", "blhe", "blha"},   //
                                         EinsumCase{"blhae", "blha", "blhe"},   //
                                         EinsumCase{"blha", "blha", "blh"},     // dot products
                                         EinsumCase{"blh", "blha", "blha"},     // scaled rows
                                         EinsumCase{"blha", "blha", "blha"},    // an elementwise product
                                         EinsumCase{"lb", "bl", "lb"},          // the same, one turned
                                         EinsumCase{"bld", "bld", "d"},         //
                                         EinsumCase{"d", "d", ""},              // one dot product
                                         EinsumCase{"d", "f", "df"},            //
                                         EinsumCase{"d", "df", "f"},            // one row
                                         EinsumCase{"fd", "d", "f"},            //
                                         EinsumCase{"n", "nd", "d"},            //
                                         EinsumCase{"", "ld", "dl"},            // a scalar
                                         EinsumCase{"ldb", "fdb", "lfb"},       // a batch dim that is dense everywhere
                                         EinsumCase{"dlh", "hfd", "hlf"},       //
                                         EinsumCase{"jld", "jdf", "fjl"},       // a batch of one
                                         EinsumCase{"blhakj", "jkaf", "hfbl"},  // contracted dims in different orders
                                         EinsumCase{"nr", "rf", "fn"}),
                         [](const auto& info) { return info.param.a + "_" + info.param.b + "_" + info.param.c; });

TEST(Einsum, LargeProductsThatAddUp) {
  const Shape a{kBatch(3), kLength(257), kHeads(2), kHead(65)}, b{kBatch(3), kMemoryLength(259), kHeads(2), kHead(65)};
  const Shape out{kHeads(2), kLength(257), kMemoryLength(259)};
  const Reference reference = [&](const Tensors& in, Tensors& outputs) {
    for_each_index({kBatch(3), kLength(257), kHeads(2), kMemoryLength(259), kHead(65)}, {a, b, out},
                   [&](const std::vector<int64_t>& at) { outputs[0][at[2]] += in[0][at[0]] * in[1][at[1]]; });
  };
  check_kernel(Einsum(out.names()), {random_tensor(a, 3), random_tensor(b, 4)}, reference, {5e-6, 1e-13, false});
}

TEST(Einsum, CountsItsOperations) {
  KernelCounters counters;
  const std::unique_ptr<KernelTable> table = make_test_kernels(1, &counters);
  const auto run = [&](const std::string& a, const std::string& b, const std::string& c) {
    run_kernel(*table, Einsum(shape_of(c, 1).names()),
               as_type({random_tensor(shape_of(a, 1), 1), random_tensor(shape_of(b, 1), 2)}, DType::kFloat32));
  };
  run("blha", "bmha", "bhlm");
  EXPECT_EQ(counters.product_flops, 2 * 3 * 33 * 31 * 2 * 17);
  run("blha", "blhe", "blhae");
  EXPECT_EQ(counters.product_flops, 2 * 3 * 33 * 31 * 2 * 17 + 2 * 3 * 33 * 2 * 17 * 16);
}

}  // namespace
}  // namespace synthesizer
