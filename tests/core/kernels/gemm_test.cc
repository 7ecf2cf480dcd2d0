// Matrix products: of bfloat16 against double, by instructions for it and without; where it is asked for, the same bits
// on any number of threads; and workspace for products up to a size is enough for all of them.
#include "core/kernels/gemm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/philox.h"
#include "core/kernels/cpu/gemm/libraries.h"
#include "core/tensor/bfloat16.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

struct Sizes {
  int64_t batch, m, n, k;
};

enum class Transposed { kNone, kA, kB };

Product product_of(DType dtype, const Sizes& s, Transposed transposed, bool accumulate) {
  Product p;
  p.dtype = dtype;
  p.batch[0] = s.batch;
  p.m = s.m;
  p.n = s.n;
  p.k = s.k;
  p.a = {{s.m * s.k, 0}, s.k, 1};
  p.b = {{s.k * s.n, 0}, s.n, 1};
  p.c = {{s.m * s.n, 0}, s.n, 1};
  if (transposed == Transposed::kA) p.a = {{s.m * s.k, 0}, 1, s.m};
  if (transposed == Transposed::kB) p.b = {{s.k * s.n, 0}, 1, s.k};
  p.accumulate = accumulate;
  return p;
}

template <typename T>
std::vector<T> random(int64_t count, uint32_t stream) {
  std::vector<T> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = rounded<T>(uniform_float(philox({static_cast<uint32_t>(i), stream, 0, 0}, {})[0]) - 0.5f);
  return values;
}

template <typename T>
std::vector<T> multiply(const Product& p, const std::vector<T>& a, const std::vector<T>& b, int threads) {
  std::vector<T> c(static_cast<size_t>(p.batch[0] * p.m * p.n), rounded<T>(0.5f));
  const GemmThreads team{threads, /*same_bits=*/true};
  const Storage workspace(gemm_workspace(p, team));
  make_gemm(p, team, nullptr)->run(a.data(), b.data(), c.data(), workspace.data());
  return c;
}

template <typename T>
void expect_same_bits(DType dtype) {
  const Sizes table[] = {{1, 314, 512, 512}, {1, 512, 512, 314}, {1, 300, 520, 2000},
                         {1, 31, 33, 5001},  {1, 1, 512, 7011},  {1, 8, 8, 40000},
                         {16, 114, 64, 114}, {3, 33, 31, 511},   {5, 1, 1, 7011}};
  for (const Sizes& sizes : table) {
    const auto a = random<T>(sizes.batch * sizes.m * sizes.k, 1), b = random<T>(sizes.batch * sizes.k * sizes.n, 2);
    for (const Transposed transposed : {Transposed::kNone, Transposed::kA, Transposed::kB})
      for (const bool accumulate : {false, true}) {
        const Product p = product_of(dtype, sizes, transposed, accumulate);
        const std::vector<T> one = multiply(p, a, b, 1);
        for (const int threads : {2, 3}) {
          const std::vector<T> several = multiply(p, a, b, threads);
          EXPECT_EQ(std::memcmp(one.data(), several.data(), one.size() * sizeof(T)), 0)
              << fmt::format("{} x {} x {} x {}, transposed {}, accumulate {}, {} threads", sizes.batch, sizes.m,
                             sizes.n, sizes.k, static_cast<int>(transposed), accumulate, threads);
        }
      }
  }
}

TEST(Gemm, SameBitsOnAnyNumberOfThreads) {
  expect_same_bits<float>(DType::kFloat32);
  expect_same_bits<double>(DType::kFloat64);
  expect_same_bits<BFloat16>(DType::kBFloat16);
}

// C, with 0.5 in it before, of element type C.
template <typename C>
void expect_products(const Product& p, const Gemm& gemm, int64_t workspace_bytes, double tolerance) {
  const auto a = random<BFloat16>(p.batch[0] * p.m * p.k, 1), b = random<BFloat16>(p.batch[0] * p.k * p.n, 2);
  std::vector<C> c(static_cast<size_t>(p.batch[0] * p.m * p.n), rounded<C>(0.5f));
  const Storage workspace(workspace_bytes);
  gemm.run(a.data(), b.data(), c.data(), workspace.data());
  double worst = 0, largest = 0;
  for (int64_t i = 0; i < p.batch[0]; ++i)
    for (int64_t m = 0; m < p.m; ++m)
      for (int64_t n = 0; n < p.n; ++n) {
        double sum = p.accumulate ? 0.5 : 0;
        for (int64_t k = 0; k < p.k; ++k)
          sum += widened(a[static_cast<size_t>(i * p.a.batch[0] + m * p.a.row + k * p.a.column)]) *
                 widened(b[static_cast<size_t>(i * p.b.batch[0] + k * p.b.row + n * p.b.column)]);
        worst = std::max(worst, std::abs(sum - widened(c[static_cast<size_t>(i * p.c.batch[0] + m * p.c.row + n)])));
        largest = std::max(largest, std::abs(sum));
      }
  EXPECT_LE(worst, tolerance * largest) << fmt::format("{} x {} x {} x {}", p.batch[0], p.m, p.n, p.k);
}

TEST(Gemm, BFloat16IsSummedInFloat32) {
  const Sizes table[] = {{1, 31, 33, 511}, {3, 33, 31, 64}, {2, 64, 96, 33}, {1, 1, 17, 129}, {4, 65, 1, 40}};
  for (const Sizes& sizes : table)
    for (const Transposed transposed : {Transposed::kNone, Transposed::kA, Transposed::kB})
      for (const bool accumulate : {false, true})
        for (const bool wide : {false, true}) {
          Product p = product_of(DType::kBFloat16, sizes, transposed, accumulate);
          p.wide = wide;
          const auto check = [&](const Gemm& gemm, int64_t workspace) {
            if (wide)
              expect_products<float>(p, gemm, workspace, 1e-5);
            else
              expect_products<BFloat16>(p, gemm, workspace, 0.005);
          };
          for (const int threads : {1, 2}) {
            check(*make_gemm(p, {threads, false}, nullptr), gemm_workspace(p, {threads, false}));
            check(*make_converted_gemm(p, threads), converted_workspace(p, threads));
          }
        }
}

TEST(Gemm, WorkspaceUpToASizeIsEnoughForAllBelow) {
  const int64_t sizes[] = {1, 33, 64, 300, 1024};
  std::vector<Sizes> all;
  for (const int64_t m : sizes)
    for (const int64_t n : sizes)
      for (const int64_t k : sizes) all.push_back({1, m, n, k});
  for (const bool same_bits : {false, true})
    for (const Sizes& up_to : all)
      for (const Sizes& s : all) {
        if (s.m > up_to.m || s.n > up_to.n || s.k > up_to.k) continue;
        const GemmThreads team{2, same_bits};
        EXPECT_LE(gemm_workspace(product_of(DType::kFloat32, s, Transposed::kNone, false), team),
                  gemm_workspace_up_to(product_of(DType::kFloat32, up_to, Transposed::kNone, false), team))
            << fmt::format("{} x {} x {}, of up to {} x {} x {}", s.m, s.n, s.k, up_to.m, up_to.n, up_to.k);
      }
}

}  // namespace
}  // namespace synthesizer
