// Products by cuBLASLt against the CPU's: all layouts, batches, types and epilogues, aligned and not.
#include "core/kernels/cuda/cublaslt/products.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "core/kernels/cuda/cublaslt/description.h"
#include "tests/core/kernels/cuda/cublaslt/cublaslt_check.h"

namespace synthesizer::cuda {
namespace {

constexpr int64_t kGap = 5;  // elements between rows, or columns

MatrixStrides packed(int64_t rows, int64_t columns, bool by_columns, int64_t gap) {
  const int64_t lead = (by_columns ? rows : columns) + gap;
  return {{0, lead * (by_columns ? columns : rows)}, by_columns ? 1 : lead, by_columns ? lead : 1};
}

struct Sizes {
  int64_t m, n, k;
};

Product product_of(DType dtype, const Sizes& s, bool a_by_columns, bool b_by_columns, int64_t gap) {
  Product p;
  p.dtype = dtype;
  p.m = s.m;
  p.n = s.n;
  p.k = s.k;
  p.a = packed(s.m, s.k, a_by_columns, gap);
  p.b = packed(s.k, s.n, b_by_columns, gap);
  p.c = packed(s.m, s.n, false, gap);
  return p;
}

std::string text_of(const Product& p) {
  return fmt::format("{}{} {}x{} {}x{}x{}, a {},{} b {},{}, accumulate {}, bias {}, epilogue {}", to_string(p.dtype),
                     p.wide ? " wide" : "", p.batch[0], p.batch[1], p.m, p.n, p.k, p.a.row, p.a.column, p.b.row,
                     p.b.column, p.accumulate, p.bias, static_cast<int>(p.epilogue));
}

class CublasLtProductsTest : public CublasLtTest {
 protected:
  template <typename T, typename C>
  void expect_as(const Product& p, double tolerance, int64_t shift) {
    SCOPED_TRACE(text_of(p));
    if (rig == nullptr) rig = std::make_unique<Rig>();
    KernelCounters counters;
    const CublasLtProducts products(&counters, tf32);
    ASSERT_TRUE(products.takes_epilogue(p));
    Matrices<T, C> got(p), expected = got;
    multiply(*rig, *products.make(p), got, shift);
    expected_product(p, expected);
    double worst = 0, largest = 0;
    for (size_t i = 0; i < got.c.size(); ++i) {
      const auto x = static_cast<double>(widened(expected.c[i]));
      worst = std::max(worst, std::abs(x - static_cast<double>(widened(got.c[i]))));
      largest = std::max(largest, std::abs(x));
    }
    EXPECT_LE(worst, tolerance * largest);
    EXPECT_EQ(got.mask, expected.mask);
    EXPECT_EQ(counters.product_flops.load(), p.flops());
    most = std::max(most, worst / largest);
  }
  void expect(const Product& p, int64_t shift = 0) {
    if (p.dtype == DType::kFloat32) return expect_as<float, float>(p, tf32 ? 2e-3 : 1e-6, shift);
    if (p.dtype == DType::kFloat64) return expect_as<double, double>(p, 1e-14, shift);
    if (p.wide) return expect_as<BFloat16, float>(p, 1e-6, shift);
    expect_as<BFloat16, BFloat16>(p, 0.008, shift);
  }

  void TearDown() override { rig.reset(); }

  std::unique_ptr<Rig> rig;
  bool tf32 = false;
  double most = 0;  // of the relative differences
};

TEST_F(CublasLtProductsTest, AllLayoutsAndTypes) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kBFloat16})
    for (const Sizes& s : {Sizes{16, 24, 32}, Sizes{17, 33, 5}, Sizes{1, 7, 9}, Sizes{9, 1, 4}, Sizes{3, 2, 1}})
      for (const bool a : {false, true})
        for (const bool b : {false, true})
          for (const int64_t gap : {int64_t{0}, kGap})
            for (const bool accumulate : {false, true}) {
              Product p = product_of(dtype, s, a, b, gap);
              p.accumulate = accumulate;
              p.wide = dtype == DType::kBFloat16 && (a == accumulate);
              expect(p, /*shift=*/gap == 0 ? 0 : 1);
            }
}

TEST_F(CublasLtProductsTest, Batches) {
  const Sizes s{5, 6, 7};
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    Product p = product_of(dtype, s, false, true, 0);
    const int64_t a = s.m * s.k, b = s.k * s.n, c = s.m * s.n;
    // By so many calls of the library.
    const auto expect_calls = [&](int64_t calls, int64_t outer, int64_t inner, std::array<int64_t, 2> of_a,
                                  std::array<int64_t, 2> of_b, std::array<int64_t, 2> of_c) {
      Product q = p;
      q.batch[0] = outer;
      q.batch[1] = inner;
      std::copy_n(of_a.begin(), 2, q.a.batch);
      std::copy_n(of_b.begin(), 2, q.b.batch);
      std::copy_n(of_c.begin(), 2, q.c.batch);
      EXPECT_EQ(LibraryBatch(q).calls, calls);
      for (const bool accumulate : {false, true}) {
        q.accumulate = accumulate;
        expect(q);
      }
    };
    const std::array<int64_t, 2> none{0, 0};
    expect_calls(1, 3, 1, {a, 0}, {b, 0}, {c, 0});
    expect_calls(1, 1, 3, {0, a}, {0, b}, {0, c});
    expect_calls(1, 3, 1, {a, 0}, none, {c, 0});  // the same matrix for all
    expect_calls(1, 3, 2, {2 * a, a}, {2 * b, b}, {2 * c, c});
    expect_calls(1, 3, 2, none, {2 * b, b}, {2 * c, c});
    expect_calls(3, 3, 2, {2 * a, a}, {b, 0}, {2 * c, c});      // one matrix for each two
    expect_calls(3, 3, 2, {a, 3 * a}, {b, 3 * b}, {c, 3 * c});  // exchanged
    // Batches between the rows, as heads are.
    p.c = {{0, 0}, 2 * s.n, 1};
    expect_calls(3, 3, 2, {2 * a, a}, {0, b}, {2 * c, s.n});
  }
}

TEST_F(CublasLtProductsTest, Tf32WhereItIsAskedFor) {
  const Product p = product_of(DType::kFloat32, {16, 24, 32}, false, false, 0);
  expect(p);
  EXPECT_LT(most, 1e-6);
  tf32 = true;
  expect(p);
  EXPECT_GT(most, 1e-5);
}

TEST_F(CublasLtProductsTest, Epilogues) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16})
    for (const bool wide : {false, true})
      for (const Sizes& s : {Sizes{16, 24, 32}, Sizes{5, 131, 3}, Sizes{9, 1, 4}})
        for (const bool bias : {false, true})
          for (const ProductEpilogue epilogue :
               {ProductEpilogue::kNone, ProductEpilogue::kRelu, ProductEpilogue::kReluMask, ProductEpilogue::kMask})
            for (const bool aligned : {true, false}) {
              Product p = product_of(dtype, s, false, !aligned, 0);
              p.wide = wide && dtype == DType::kBFloat16;
              p.bias = bias;
              p.epilogue = epilogue;
              if (bias && epilogue == ProductEpilogue::kMask) continue;  // no library has it
              expect(p, aligned ? 0 : 1);
            }
  EXPECT_GT(fake.epilogues(CUBLASLT_EPILOGUE_RELU_AUX_BIAS), 0);
  EXPECT_GT(fake.epilogues(CUBLASLT_EPILOGUE_DRELU), 0);
  EXPECT_GT(fake.epilogues(CUBLASLT_EPILOGUE_RELU_BIAS), 0);
}

TEST_F(CublasLtProductsTest, ABiasOfEachBatch) {
  const Sizes s{5, 6, 7};
  for (const auto& strides : {std::array<int64_t, 2>{2 * s.n, s.n}, {0, 0}, {s.n, 0}, {0, s.n}})
    for (const ProductEpilogue epilogue : {ProductEpilogue::kNone, ProductEpilogue::kRelu}) {
      Product p = product_of(DType::kFloat32, s, false, false, 0);
      p.batch[0] = 3;
      p.batch[1] = 2;
      for (MatrixStrides* matrix : {&p.a, &p.b, &p.c}) matrix->batch[0] = 2 * matrix->batch[1];
      p.bias = true;
      std::copy_n(strides.begin(), 2, p.bias_batch);
      p.epilogue = epilogue;
      expect(p);
    }
}

TEST_F(CublasLtProductsTest, EpiloguesThatItHasNot) {
  CudaDevice device(0);
  const CublasLtProducts products(nullptr);
  Product p = product_of(DType::kFloat32, {16, 24, 32}, false, false, 0);
  p.epilogue = ProductEpilogue::kGate;
  EXPECT_FALSE(products.takes_epilogue(p));
  p.epilogue = ProductEpilogue::kRelu;
  p.accumulate = true;
  EXPECT_FALSE(products.takes_epilogue(p));
  p.accumulate = false;
  EXPECT_TRUE(products.takes_epilogue(p));
  p.dtype = DType::kFloat64;
  EXPECT_FALSE(products.takes_epilogue(p));
  p.dtype = DType::kBFloat16;
  fake.withdraw_epilogue(CUBLASLT_EPILOGUE_BIAS);  // no algorithm has it
  EXPECT_TRUE(products.takes_epilogue(p));
  p.bias = true;
  EXPECT_FALSE(products.takes_epilogue(p));
}

// What nothing documents is found out: a library of other habits does not get what it would do otherwise.
TEST_F(CublasLtProductsTest, EpiloguesThatItDoesOtherwise) {
  CudaDevice device(0);
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16})
    for (const bool wide : {false, true}) {
      Product p = product_of(dtype, {16, 24, 32}, false, false, 0);
      p.wide = wide && dtype == DType::kBFloat16;
      struct Taken {
        bool relu, relu_mask, mask;
        bool operator==(const Taken&) const = default;
      };
      const auto taken = [&](const char* variable, const char* value) {
        unsetenv("FAKE_CUBLASLT_BITS");
        unsetenv("FAKE_CUBLASLT_NAN");
        if (variable != nullptr) setenv(variable, value, 1);
        const CublasLtProducts products(nullptr);
        const auto takes = [&](ProductEpilogue epilogue) {
          Product with = p;
          with.epilogue = epilogue;
          return products.takes_epilogue(with);
        };
        return Taken{takes(ProductEpilogue::kRelu), takes(ProductEpilogue::kReluMask), takes(ProductEpilogue::kMask)};
      };
      EXPECT_EQ(taken(nullptr, nullptr), (Taken{true, true, true}));
      EXPECT_EQ(taken("FAKE_CUBLASLT_NAN", "swallowed"), (Taken{false, false, true}));
      EXPECT_EQ(taken("FAKE_CUBLASLT_BITS", "reversed"), (Taken{true, false, false}));
    }
}

TEST_F(CublasLtProductsTest, WithoutMemoryNothingIsFoundOut) {
  CudaDevice device(0);
  const CublasLtProducts products(nullptr);
  Product p = product_of(DType::kFloat32, {16, 24, 32}, false, false, 0);
  p.epilogue = ProductEpilogue::kRelu;
  cuda_shim::fail_allocation(1);
  EXPECT_THAT(message_of([&] { products.takes_epilogue(p); }),
              ::testing::HasSubstr("[cublaslt] trying cuBLASLt's epilogues: the device has no memory for it"));
  EXPECT_TRUE(products.takes_epilogue(p));
}

// A captured product is made again with what its operands hold then.
TEST_F(CublasLtProductsTest, AGraphRunsThemAgain) {
  CudaDevice device(0);
  const CublasLtProducts products(nullptr);
  Product p = product_of(DType::kFloat32, {5, 6, 7}, false, false, 0);
  p.bias = true;
  const auto gemm = products.make(p);
  Matrices<float, float> first(p), second = first;
  for (float& x : second.a) x *= 2;
  const OnDevice<float> a(device, first.a), b(device, first.b), bias(device, first.bias), c(device, first.c);
  const Storage workspace(CublasLtProducts::kWorkspaceBytes, &device);
  const std::unique_ptr<Replay> replay = device.replay();
  const auto run = [&](const Matrices<float, float>& m) {
    device.upload(a.data(), m.a.data(), static_cast<int64_t>(m.a.size() * sizeof(float)));
    replay->run(
        [&] { gemm->run(device.stream(), a.data(), b.data(), {.bias = bias.data()}, c.data(), workspace.data()); });
    device.finish();
    return c.values();
  };
  for (const Matrices<float, float>* m : {&first, &second, &first, &second}) {
    Matrices<float, float> expected = *m;
    expected_product(p, expected);
    const std::vector<float> got = run(*m);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected.c[i], 1e-5);
  }
  EXPECT_LT(fake.calls("cublasLtMatmul"), 60);
}

}  // namespace
}  // namespace synthesizer::cuda
