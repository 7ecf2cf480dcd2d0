// What the tests of cuBLASLt's products share: the stand-in library, and products on its device next to those of the
// CPU.
#pragma once

#include <dlfcn.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/kernels/cuda/cublaslt/products.h"
#include "core/kernels/cuda/runtime/cuda_device.h"
#include "core/kernels/gemm.h"
#include "core/tensor/bfloat16.h"
#include "core/tensor/storage.h"
#include "tests/core/kernels/cuda/cublaslt/fake_cublaslt.h"
#include "tests/support/cuda_shim/control.h"
#include "tests/support/message_of.h"
#include "tests/support/random_values.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer::cuda {

class CublasLtTest : public ::testing::Test {
 protected:
  CublasLtTest() {
    cuda_shim::reset();
    void* const library = dlopen(FAKE_CUBLASLT, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    fake = reinterpret_cast<FakeCublasLtControl (*)()>(dlsym(library, "fake_cublaslt_control"))();
    fake.reset([](CUstream_st* stream, void (*work)(void*), void* data) { cudaLaunchHostFunc(stream, work, data); });
    setenv("SYNTHESIZER_CUBLASLT", FAKE_CUBLASLT, 1);
    setenv("SYNTHESIZER_CACHE", folder.path().c_str(), 1);
  }
  ~CublasLtTest() override {
    EXPECT_EQ(fake.live(), 0);
    EXPECT_EQ(cuda_shim::capture_violations(), 0);
    EXPECT_EQ(cuda_shim::live_allocations(), 0);
    EXPECT_EQ(cuda_shim::live_handles(), 0);
    for (const char* variable :
         {"SYNTHESIZER_CUBLASLT", "SYNTHESIZER_CACHE", "FAKE_CUBLASLT_BITS", "FAKE_CUBLASLT_NAN"})
      unsetenv(variable);
    cuda_shim::reset();
  }

  TemporaryFolder folder;  // of the measured algorithms
  FakeCublasLtControl fake;
};

// Elements from the first to the last.
inline int64_t extent(const Product& p, const MatrixStrides& s, int64_t rows, int64_t columns) {
  return (p.batch[0] - 1) * s.batch[0] + (p.batch[1] - 1) * s.batch[1] + (rows - 1) * s.row + (columns - 1) * s.column +
         1;
}

// Device memory of exactly these values, `shift` elements behind an aligned address.
template <typename T>
class OnDevice {
 public:
  OnDevice(CudaDevice& device, const std::vector<T>& values, int64_t shift = 0)
      : device_(device),
        shift_(shift),
        count_(values.size()),
        storage_(static_cast<int64_t>((values.size() + static_cast<size_t>(shift)) * sizeof(T)), &device) {
    if (!values.empty()) device.upload(data(), values.data(), static_cast<int64_t>(values.size() * sizeof(T)));
  }
  T* data() const { return reinterpret_cast<T*>(storage_.data()) + shift_; }
  std::vector<T> values() const {
    std::vector<T> values(count_);
    device_.download(values.data(), data(), static_cast<int64_t>(count_ * sizeof(T)));
    return values;
  }

 private:
  CudaDevice& device_;
  int64_t shift_;
  size_t count_;
  Storage storage_;
};

// A and B of type T, C and the bias of type C, as they are before a product; none of what it has not.
template <typename T, typename C>
struct Matrices {
  explicit Matrices(const Product& p)
      : a(random_values<T>(extent(p, p.a, p.m, p.k), 1)),
        b(random_values<T>(extent(p, p.b, p.k, p.n), 2)),
        c(static_cast<size_t>(extent(p, p.c, p.m, p.n)), rounded<C>(0.5f)),
        bias(random_values<C>(
            p.bias ? (p.batch[0] - 1) * p.bias_batch[0] + (p.batch[1] - 1) * p.bias_batch[1] + p.n : 0, 3)),
        mask(p.epilogue == ProductEpilogue::kMask || p.epilogue == ProductEpilogue::kReluMask
                 ? static_cast<size_t>(p.m * mask_words(p.n))
                 : 0) {
    for (size_t i = 0; i < mask.size(); ++i) mask[i] = philox({static_cast<uint32_t>(i), 4, 0, 0}, {})[0];
  }

  std::vector<T> a, b;
  std::vector<C> c, bias;
  std::vector<uint32_t> mask;
};

// A device with the workspace of products.
struct Rig {
  CudaDevice device{0};
  // More than they take: an allocation of the stand-in is aligned to more than an arena's parts are.
  Storage space{CublasLtProducts::kWorkspaceBytes + kAlignment, &device};
  void* workspace() const { return space.data() + kAlignment; }
};

// C, and the mask if one is written, of the library.
template <typename T, typename C>
void multiply(Rig& rig, const DeviceGemm& gemm, Matrices<T, C>& m, int64_t shift = 0) {
  CudaDevice& device = rig.device;
  const OnDevice<T> a(device, m.a, shift), b(device, m.b, shift);
  const OnDevice<C> c(device, m.c, shift), bias(device, m.bias, shift);
  const OnDevice<uint32_t> mask(device, m.mask);
  const EpilogueData data{nullptr, m.bias.empty() ? nullptr : bias.data(), m.mask.empty() ? nullptr : mask.data()};
  gemm.run(device.stream(), a.data(), b.data(), data, c.data(), rig.workspace());
  device.finish();
  m.c = c.values();
  m.mask = mask.values();
}

// What `m` must become: by the CPU's product, and a loop over it.
template <typename T, typename C>
void expected_product(const Product& p, Matrices<T, C>& m) {
  Product plain = p;
  plain.bias = false;
  plain.epilogue = ProductEpilogue::kNone;
  plain.wide = true;  // rounded once, behind the epilogue
  using Wide = decltype(widened(T()));
  std::vector<Wide> sums(m.c.size());
  for (size_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<Wide>(widened(m.c[i]));
  const GemmThreads one{1, true};
  const Storage workspace(gemm_workspace(plain, one));
  make_gemm(plain, one, nullptr)->run(m.a.data(), m.b.data(), sums.data(), workspace.data());
  for (int64_t i = 0; i < p.batch[0]; ++i)
    for (int64_t j = 0; j < p.batch[1]; ++j)
      for (int64_t row = 0; row < p.m; ++row)
        for (int64_t column = 0; column < p.n; ++column) {
          const auto at = static_cast<size_t>(i * p.c.batch[0] + j * p.c.batch[1] + row * p.c.row + column);
          Wide x = sums[at];
          if (p.bias)
            x += static_cast<Wide>(
                widened(m.bias[static_cast<size_t>(i * p.bias_batch[0] + j * p.bias_batch[1] + column)]));
          const auto word = static_cast<size_t>(row * mask_words(p.n) + column / 32);
          const uint32_t bit = uint32_t{1} << column % 32;
          if (p.epilogue == ProductEpilogue::kReluMask) m.mask[word] = x > 0 ? m.mask[word] | bit : m.mask[word] & ~bit;
          if (p.epilogue == ProductEpilogue::kRelu || p.epilogue == ProductEpilogue::kReluMask) x = x < 0 ? 0 : x;
          if (p.epilogue == ProductEpilogue::kMask && (m.mask[word] & bit) == 0) x = 0;
          m.c[at] = rounded<C>(x);
        }
}

}  // namespace synthesizer::cuda
