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
#include "core/kernels/cpu/gemm/panels.h"
#include "core/tensor/bfloat16.h"
#include "core/tensor/storage.h"
#include "tests/support/random_values.h"

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
    const auto a = random_values<T>(sizes.batch * sizes.m * sizes.k, 1),
               b = random_values<T>(sizes.batch * sizes.k * sizes.n, 2);
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

// T's elements, C with 0.5 in it before, of element type C; what lies between C's rows stays.
template <typename T, typename C>
void expect_products(const Product& p, const Gemm& gemm, int64_t workspace_bytes, double tolerance) {
  const auto extent = [&](const MatrixStrides& s, int64_t rows, int64_t columns) {
    return (p.batch[0] - 1) * s.batch[0] + (p.batch[1] - 1) * s.batch[1] + (rows - 1) * s.row +
           (columns - 1) * s.column + 1;
  };
  const auto a = random_values<T>(extent(p.a, p.m, p.k), 1), b = random_values<T>(extent(p.b, p.k, p.n), 2);
  std::vector<C> c(static_cast<size_t>(extent(p.c, p.m, p.n)), rounded<C>(0.5f));
  const Storage workspace(workspace_bytes);
  gemm.run(a.data(), b.data(), c.data(), workspace.data());
  double worst = 0, largest = 0;
  std::vector<bool> written(c.size());
  for (int64_t i = 0; i < p.batch[0]; ++i)
    for (int64_t j = 0; j < p.batch[1]; ++j)
      for (int64_t m = 0; m < p.m; ++m)
        for (int64_t n = 0; n < p.n; ++n) {
          const auto at = [&](const MatrixStrides& s, int64_t row, int64_t column) {
            return static_cast<size_t>(i * s.batch[0] + j * s.batch[1] + row * s.row + column * s.column);
          };
          double sum = p.accumulate ? 0.5 : 0;
          for (int64_t k = 0; k < p.k; ++k)
            sum += static_cast<double>(widened(a[at(p.a, m, k)])) * static_cast<double>(widened(b[at(p.b, k, n)]));
          worst = std::max(worst, std::abs(sum - static_cast<double>(widened(c[at(p.c, m, n)]))));
          largest = std::max(largest, std::abs(sum));
          written[at(p.c, m, n)] = true;
        }
  const std::string text =
      fmt::format("{} x {} x {} x {} x {}, {}", p.batch[0], p.batch[1], p.m, p.n, p.k, to_string(p.dtype));
  EXPECT_LE(worst, tolerance * largest) << text;
  for (size_t i = 0; i < c.size(); ++i)
    ASSERT_TRUE(written[i] || static_cast<double>(widened(c[i])) == 0.5) << text << ": element " << i << " was written";
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
              expect_products<BFloat16, float>(p, gemm, workspace, 1e-5);
            else
              expect_products<BFloat16, BFloat16>(p, gemm, workspace, 0.005);
          };
          for (const int threads : {1, 2}) {
            check(*make_gemm(p, {threads, false}, nullptr), gemm_workspace(p, {threads, false}));
            check(*make_converted_gemm(p, threads), converted_workspace(p, threads));
          }
        }
}

// Products by panels: tiles that are cut short, more than one piece of the inner dimension and of the rows that are
// packed at a time, matrices that lie apart, and one after the other where threads share them out.
TEST(Gemm, ByPanels) {
  struct Case {
    int64_t batch[2], m, n, k;
  };
  const Case table[] = {{{1, 1}, 16, 16, 1},      {{1, 1}, 17, 65, 2},    {{1, 1}, 47, 16, 31},  {{1, 1}, 100, 130, 33},
                        {{1, 1}, 220, 70, 4099},  {{2, 8}, 19, 40, 15},   {{3, 1}, 60, 47, 64},  {{1, 4}, 24, 63, 40},
                        {{1, 1}, 1030, 16, 2100}, {{1, 1}, 49, 200, 257}, {{1, 3}, 97, 17, 1000}};
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    for (const Case& c : table)
      for (const Transposed transposed : {Transposed::kNone, Transposed::kA, Transposed::kB})
        for (const int64_t gap : {0, 5})
          for (const int threads : {1, 3}) {
            Product p;
            p.dtype = dtype;
            std::copy_n(c.batch, 2, p.batch);
            p.m = c.m, p.n = c.n, p.k = c.k;
            p.accumulate = (c.k + gap) % 2 != 0;
            p.wide = (c.m + gap) % 2 != 0;
            const auto strides = [&](int64_t rows, int64_t columns, bool by_columns) {
              const int64_t lead = (by_columns ? rows : columns) + gap, size = lead * (by_columns ? columns : rows);
              return MatrixStrides{{size * c.batch[1] + gap, size}, by_columns ? 1 : lead, by_columns ? lead : 1};
            };
            p.a = strides(c.m, c.k, transposed == Transposed::kA);
            p.b = strides(c.k, c.n, transposed == Transposed::kB);
            p.c = strides(c.m, c.n, false);
            if (c.batch[1] == 8) p.b.batch[1] = 0;  // the same matrix for all
            // A machine without the instructions never goes this way.
            ASSERT_EQ(goes_by_panels(p), panel_functions(dtype) != nullptr);
            if (!goes_by_panels(p)) continue;
            const auto gemm = make_panel_gemm(p, threads);
            const int64_t bytes = panel_workspace(p, threads);
            EXPECT_LE(bytes, panel_workspace_up_to(p, threads));
            if (dtype == DType::kFloat32)
              expect_products<float, float>(p, *gemm, bytes, 1e-5);
            else if (p.wide)
              expect_products<BFloat16, float>(p, *gemm, bytes, 1e-5);
            else
              expect_products<BFloat16, BFloat16>(p, *gemm, bytes, 0.005);
          }
  }
}

// Triangles, of squares and of what is wider or higher, against the whole product: all that is asked for must come out,
// whatever way the product goes.
template <typename T>
void expect_triangles(DType dtype) {
  const int64_t shapes[][2] = {{1, 1}, {16, 16}, {33, 33}, {100, 70}, {70, 100}, {301, 301}};
  for (const auto& [rows, columns] : shapes)
    for (const int64_t other : {1, 40, 130})
      for (const Transposed transposed : {Transposed::kNone, Transposed::kA, Transposed::kB})
        for (const Triangle triangle : {Triangle::kLowerA, Triangle::kUpperA, Triangle::kLowerC}) {
          const bool of_c = triangle == Triangle::kLowerC;
          const Sizes sizes = of_c ? Sizes{2, rows, columns, other} : Sizes{2, rows, other, columns};
          Product p = product_of(dtype, sizes, transposed, (rows + other) % 2 == 0);
          auto a = random_values<T>(p.batch[0] * p.m * p.k, 1);
          const auto b = random_values<T>(p.batch[0] * p.k * p.n, 2);
          const auto inside = [&](int64_t i, int64_t j) { return triangle == Triangle::kUpperA ? j >= i : j <= i; };
          int64_t count = 0;
          for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < columns; ++j) {
              count += inside(i, j);
              for (int64_t batch = 0; !of_c && !inside(i, j) && batch < p.batch[0]; ++batch)
                a[static_cast<size_t>(batch * p.a.batch[0] + i * p.a.row + j * p.a.column)] = T{};
            }
          const std::vector<T> whole = multiply(p, a, b, 1);
          p.triangle = triangle;
          EXPECT_EQ(p.flops(), 2 * p.batch[0] * count * other);
          for (const int threads : {1, 2, 3}) {
            const std::vector<T> c = multiply(p, a, b, threads);
            for (size_t at = 0; at < c.size(); ++at) {
              const auto i = static_cast<int64_t>(at) / p.n % p.m, j = static_cast<int64_t>(at) % p.n;
              if (of_c && !inside(i, j)) continue;
              ASSERT_EQ(std::memcmp(&c[at], &whole[at], sizeof(T)), 0) << fmt::format(
                  "{} of {} x {} x {}, transposed {}, triangle {}, {} threads: element {}, {}", to_string(dtype), p.m,
                  p.n, p.k, static_cast<int>(transposed), static_cast<int>(triangle), threads, i, j);
            }
          }
        }
}

TEST(Gemm, TrianglesAreThoseOfTheWholeProduct) {
  expect_triangles<float>(DType::kFloat32);
  expect_triangles<double>(DType::kFloat64);
  expect_triangles<BFloat16>(DType::kBFloat16);
}

// An epilogue is what a loop over the finished product does, to the bit.
template <typename T>
void expect_epilogues(DType dtype) {
  for (const Sizes& s : {Sizes{1, 16, 16, 1}, Sizes{3, 47, 70, 33}, Sizes{1, 100, 130, 2100}, Sizes{1, 31, 64, 4200}})
    for (const bool accumulate : {false, true})
      for (const ProductEpilogue epilogue : {ProductEpilogue::kRelu, ProductEpilogue::kGate}) {
        Product p = product_of(dtype, s, Transposed::kNone, accumulate);
        // A machine without the instructions has no product with an epilogue.
        ASSERT_EQ(takes_epilogue(p), panel_functions(dtype) != nullptr);
        if (!takes_epilogue(p)) continue;
        const auto a = random_values<T>(s.batch * s.m * s.k, 1), b = random_values<T>(s.batch * s.k * s.n, 2);
        const auto gate = random_values<T>(s.batch * s.m * s.n, 3);
        std::vector<T> expected = multiply(p, a, b, 1);
        for (size_t i = 0; i < expected.size(); ++i) {
          const auto x = widened(expected[i]);
          if (epilogue == ProductEpilogue::kRelu)
            expected[i] = rounded<T>(x < 0 ? 0 : x);
          else
            expected[i] = rounded<T>(x * (widened(gate[i]) > 0 ? 1 : 0));
        }
        p.epilogue = epilogue;
        for (const int threads : {1, 3}) {
          std::vector<T> c(expected.size(), rounded<T>(0.5f));
          const Storage workspace(gemm_workspace(p, {threads, true}));
          const auto gemm = make_gemm(p, {threads, true}, nullptr);
          if (epilogue == ProductEpilogue::kGate)
            gemm->run_with({.gate = gate.data()}, a.data(), b.data(), c.data(), workspace.data());
          else
            gemm->run(a.data(), b.data(), c.data(), workspace.data());
          EXPECT_EQ(std::memcmp(c.data(), expected.data(), c.size() * sizeof(T)), 0)
              << fmt::format("{} of {} x {} x {}, accumulate {}, epilogue {}, {} threads", to_string(dtype), s.m, s.n,
                             s.k, accumulate, static_cast<int>(epilogue), threads);
        }
      }
}

TEST(Gemm, EpiloguesAreThoseOfALoop) {
  expect_epilogues<float>(DType::kFloat32);
  expect_epilogues<BFloat16>(DType::kBFloat16);
}

// A bias, before the epilogue and before the one rounding.
template <typename T>
void expect_biases(DType dtype) {
  for (const Sizes& s : {Sizes{1, 16, 16, 1}, Sizes{3, 47, 70, 33}, Sizes{1, 100, 130, 1000}, Sizes{2, 31, 64, 500}})
    for (const bool accumulate : {false, true})
      for (const ProductEpilogue epilogue : {ProductEpilogue::kNone, ProductEpilogue::kRelu, ProductEpilogue::kGate})
        for (const bool shared : {false, true}) {
          Product p = product_of(dtype, s, Transposed::kNone, accumulate);
          if (!takes_epilogue(p)) continue;
          p.bias_batch[0] = shared ? 0 : s.n;
          const auto a = random_values<T>(s.batch * s.m * s.k, 1), b = random_values<T>(s.batch * s.k * s.n, 2);
          const auto gate = random_values<T>(s.batch * s.m * s.n, 3),
                     bias = random_values<T>(shared ? s.n : s.batch * s.n, 4);
          Product wide = p;
          wide.wide = true;
          std::vector<float> sums(gate.size(), 0.5f);
          const Storage space(gemm_workspace(wide, {1, true}));
          make_gemm(wide, {1, true}, nullptr)->run(a.data(), b.data(), sums.data(), space.data());
          std::vector<T> expected;
          for (size_t i = 0; i < sums.size(); ++i) {
            const auto at = static_cast<int64_t>(i), matrix = at / (s.m * s.n);
            const auto of_bias = static_cast<size_t>(matrix * p.bias_batch[0] + at % s.n);
            float x = sums[i] + widened(bias[of_bias]);
            if (epilogue == ProductEpilogue::kRelu) x = x < 0 ? 0 : x;
            if (epilogue == ProductEpilogue::kGate) x *= widened(gate[i]) > 0 ? 1.0f : 0.0f;
            expected.push_back(rounded<T>(x));
          }
          p.bias = true;
          p.epilogue = epilogue;
          for (const int threads : {1, 3}) {
            std::vector<T> c(expected.size(), rounded<T>(0.5f));
            const Storage workspace(gemm_workspace(p, {threads, true}));
            const bool gated = epilogue == ProductEpilogue::kGate;
            make_gemm(p, {threads, true}, nullptr)
                ->run_with({.gate = gated ? gate.data() : nullptr, .bias = bias.data()}, a.data(), b.data(), c.data(),
                           workspace.data());
            EXPECT_EQ(std::memcmp(c.data(), expected.data(), c.size() * sizeof(T)), 0)
                << fmt::format("{} of {} x {} x {}, accumulate {}, epilogue {}, {} threads", to_string(dtype), s.m, s.n,
                               s.k, accumulate, static_cast<int>(epilogue), threads);
          }
        }
}

TEST(Gemm, BiasesAreAddedBeforeRounding) {
  expect_biases<float>(DType::kFloat32);
  expect_biases<BFloat16>(DType::kBFloat16);
}

TEST(Gemm, WorkspaceUpToASizeIsEnoughForAllBelow) {
  const int64_t sizes[] = {1, 33, 64, 300, 1024};
  std::vector<Sizes> all;
  for (const int64_t m : sizes)
    for (const int64_t n : sizes)
      for (const int64_t k : sizes) all.push_back({1, m, n, k});
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16})
    for (const bool same_bits : {false, true})
      for (const Sizes& up_to : all)
        for (const Sizes& s : all) {
          if (s.m > up_to.m || s.n > up_to.n || s.k > up_to.k) continue;
          const GemmThreads team{2, same_bits};
          for (const Transposed transposed : {Transposed::kNone, Transposed::kA})
            EXPECT_LE(gemm_workspace(product_of(dtype, s, transposed, false), team),
                      gemm_workspace_up_to(product_of(dtype, up_to, transposed, false), team))
                << fmt::format("{} x {} x {}, of up to {} x {} x {}", s.m, s.n, s.k, up_to.m, up_to.n, up_to.k);
        }
}

}  // namespace
}  // namespace synthesizer
