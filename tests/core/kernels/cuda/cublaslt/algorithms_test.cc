// Which algorithm is taken: the fastest, measured once, kept in a file, and what is said when there is none.
#include <fstream>
#include <sstream>

#include "core/kernels/cuda/cublaslt/algorithm_cache.h"
#include "tests/core/kernels/cuda/cublaslt/cublaslt_check.h"

namespace synthesizer::cuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Rows of all matrices are whole vectors.
Product small_product() {
  Product p;
  p.m = 4;
  p.n = 8;
  p.k = 12;
  p.a = {{}, p.k, 1};
  p.b = {{}, p.n, 1};
  p.c = {{}, p.n, 1};
  return p;
}

class AlgorithmsTest : public CublasLtTest {
 protected:
  // As in a process of its own.
  void run(const Product& p, int times = 1, int64_t shift = 0) {
    Rig rig;
    const CublasLtProducts products(nullptr);
    const auto gemm = products.make(p);
    for (int i = 0; i < times; ++i) {
      Matrices<float, float> m(p), expected = m;
      multiply(rig, *gemm, m, shift);
      expected_product(p, expected);
      for (size_t at = 0; at < m.c.size(); ++at) EXPECT_NEAR(m.c[at], expected.c[at], 1e-5);
    }
  }
  std::string lines() const {
    std::stringstream text;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
      text << std::ifstream(entry.path()).rdbuf();
    return text.str();
  }
  int measured() const { return fake.calls("cublasLtMatmulAlgoGetHeuristic"); }
};

TEST_F(AlgorithmsTest, TheFastestIsMeasuredOnceAndKept) {
  fake.slow_down(FakeAlgorithm::kAligned, 2000);
  fake.slow_down(FakeAlgorithm::kSplit, 1000);
  run(small_product(), 3);
  EXPECT_EQ(measured(), 1);
  // Of the three that work, one unmeasured and five measured runs.
  EXPECT_EQ(fake.products(FakeAlgorithm::kAligned), 6);
  EXPECT_EQ(fake.products(FakeAlgorithm::kSplit), 6);
  EXPECT_EQ(fake.products(FakeAlgorithm::kAny), 6 + 3);
  EXPECT_EQ(fake.products(FakeAlgorithm::kInPlace), 0);
  EXPECT_EQ(fake.products(FakeAlgorithm::kRoomy), 0);
  const std::string kept = lines();
  EXPECT_THAT(kept, AllOf(HasSubstr("f32 1x1 4x8x12 "), HasSubstr(" align 16\t")));

  // Another process reads it, though another algorithm would be faster now.
  fake.slow_down(FakeAlgorithm::kAny, 3000);
  run(small_product());
  EXPECT_EQ(measured(), 1);
  EXPECT_EQ(fake.products(FakeAlgorithm::kAny), 6 + 3 + 1);
  EXPECT_EQ(lines(), kept);
  // Other products, and operands that lie elsewhere, are others.
  Product other = small_product();
  other.accumulate = true;
  run(other);
  EXPECT_EQ(measured(), 2);
  run(small_product(), 2, /*shift=*/1);
  EXPECT_EQ(measured(), 3);
}

TEST_F(AlgorithmsTest, AKeptOneIsCheckedAndMeasuredAnewIfItIsRefused) {
  fake.slow_down(FakeAlgorithm::kSplit, 1000);
  fake.slow_down(FakeAlgorithm::kAny, 1000);
  run(small_product());
  EXPECT_EQ(fake.products(FakeAlgorithm::kAligned), 7);
  fake.withdraw(FakeAlgorithm::kAligned);
  fake.slow_down(FakeAlgorithm::kSplit, 0);
  run(small_product(), 2);
  EXPECT_EQ(measured(), 2);
  EXPECT_EQ(fake.products(FakeAlgorithm::kAligned), 7);
  EXPECT_EQ(fake.products(FakeAlgorithm::kSplit), 6 + 6 + 2);
}

TEST_F(AlgorithmsTest, AFileOfRubbishIsMeasuredOver) {
  run(small_product());
  const std::filesystem::path file = std::filesystem::directory_iterator(folder.path())->path();
  std::string text = lines();
  const size_t tab = text.find('\t');
  for (const std::string& algorithm : {std::string("zz"), std::string("00"), std::string(128, '0'), std::string()}) {
    std::ofstream(file) << text.substr(0, tab) << '\t' << algorithm << "\nno line of ours\n";
    const int before = measured();
    run(small_product());
    EXPECT_EQ(measured(), before + 1) << algorithm;
  }
  // What cannot be written is measured in each process.
  setenv("SYNTHESIZER_CACHE", "/proc/none", 1);
  const int before = measured();
  run(small_product(), 2);
  run(small_product(), 2);
  EXPECT_EQ(measured(), before + 2);
}

TEST_F(AlgorithmsTest, WhatIsAddedToIsNotMeasuredOn) {
  Product p = small_product();
  p.accumulate = true;
  run(p, 2);
  // Without memory for another result nothing is measured.
  CudaDevice device(0);
  const CublasLtProducts products(nullptr);
  p.k = 4;
  p.a.row = 4;
  const auto gemm = products.make(p);
  Matrices<float, float> m(p);
  const OnDevice<float> a(device, m.a), b(device, m.b), c(device, m.c);
  const Storage workspace(CublasLtProducts::kWorkspaceBytes, &device);
  cuda_shim::fail_allocation(1);
  const int before = fake.calls("cublasLtMatmul");
  gemm->run(device.stream(), a.data(), b.data(), {}, c.data(), workspace.data());
  EXPECT_EQ(fake.calls("cublasLtMatmul"), before + 1);
  device.finish();
}

TEST_F(AlgorithmsTest, ErrorsSayWhatFailed) {
  const auto message = [&] { return message_of([&] { run(small_product()); }); };
  for (const auto& [function, what] :
       {std::pair{"cublasLtCreate", "[cublaslt] starting: fake error"},
        std::pair{"cublasLtMatmulDescCreate", "[cublaslt] describing a product: fake error"},
        std::pair{"cublasLtMatmulDescSetAttribute", "[cublaslt] describing a product: fake error"},
        std::pair{"cublasLtMatrixLayoutCreate", "[cublaslt] describing a matrix: fake error"},
        std::pair{"cublasLtMatmulPreferenceSetAttribute", "[cublaslt] choosing an algorithm: fake error"},
        std::pair{"cublasLtMatmulAlgoGetHeuristic", "[cublaslt] no algorithm for a product f32 1x1 4x8x12"}}) {
    fake.fail_next(function, CUBLAS_STATUS_INTERNAL_ERROR);
    EXPECT_THAT(message(), HasSubstr(what)) << function;
  }
  // One that fails while it is measured is not taken.
  fake.fail_next("cublasLtMatmul", CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT_EQ(message(), "nothing thrown");
  fake.fail_next("cublasLtMatmul", CUBLAS_STATUS_EXECUTION_FAILED);  // the kept one
  EXPECT_THAT(message(), HasSubstr("[cublaslt] a product 4x8x12: fake error"));
  for (const FakeAlgorithm algorithm : {FakeAlgorithm::kAligned, FakeAlgorithm::kSplit, FakeAlgorithm::kAny})
    fake.withdraw(algorithm);
  EXPECT_THAT(message(), HasSubstr("[cublaslt] a product 4x8x12: the requested functionality is not supported"));
  fake.withdraw(FakeAlgorithm::kBroken);
  EXPECT_THAT(message(), AllOf(HasSubstr("[cublaslt] no algorithm for a product"), HasSubstr("not supported")));
}

TEST_F(AlgorithmsTest, TheLibrarySaysWhatItIs) {
  CudaDevice device(0);
  EXPECT_EQ(CublasLtProducts(nullptr).name(), "cuBLASLt 13.0.2 (" FAKE_CUBLASLT ")");
  setenv("SYNTHESIZER_CUBLASLT", "/nowhere/libcublasLt.so.13", 1);
  EXPECT_THAT(message_of([] { CublasLtProducts(nullptr); }),
              AllOf(HasSubstr("cuBLASLt was not found"), HasSubstr("/nowhere/libcublasLt.so.13")));
}

}  // namespace
}  // namespace synthesizer::cuda
