// Where it is asked for, matrix products do not depend on the number of threads, bit by bit; and workspace for products
// up to a size is enough for all of them.
#include "core/kernels/gemm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "core/base/philox.h"
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
    values[i] = static_cast<T>(uniform_float(philox({static_cast<uint32_t>(i), stream, 0, 0}, {})[0]) - 0.5f);
  return values;
}

template <typename T>
std::vector<T> multiply(const Product& p, const std::vector<T>& a, const std::vector<T>& b, int threads) {
  std::vector<T> c(static_cast<size_t>(p.batch[0] * p.m * p.n), T{0.5});
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
