// CUDA's kernels with products by cuBLASLt, which is the stand-in: instead of ../test_kernels.cc.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/kernels/cuda/cublaslt/products.h"
#include "tests/core/kernels/cuda/cublaslt/fake_cublaslt.h"
#include "tests/core/kernels/cuda/device_check.h"
#include "tests/core/kernels/cuda/owned_kernels.h"
#include "tests/support/cuda_shim/control.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_kernels.h"

namespace synthesizer {
namespace {

// Of the whole program: algorithms are measured once.
struct Library {
  Library() {
    void* const library = dlopen(FAKE_CUBLASLT, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    fake = reinterpret_cast<FakeCublasLtControl (*)()>(dlsym(library, "fake_cublaslt_control"))();
    fake.reset([](CUstream_st* stream, void (*work)(void*), void* data) { cudaLaunchHostFunc(stream, work, data); });
    setenv("SYNTHESIZER_CUBLASLT", FAKE_CUBLASLT, 1);
    setenv("SYNTHESIZER_CACHE", folder.path().c_str(), 1);
  }

  TemporaryFolder folder;
  FakeCublasLtControl fake;
};

const Library& library() {
  static const Library one;
  return one;
}

}  // namespace

std::unique_ptr<KernelTable> make_test_kernels(int, KernelCounters* counters, bool) {
  library();
  return std::make_unique<OwnedCudaKernels<cuda::CublasLtProducts>>(counters);
}

std::vector<KernelVariant> kernel_variants() {
  const auto make = [] { return make_test_kernels(); };
  return {{"kept algorithms", "all", make}};
}

std::vector<const std::type_info*> ops_with_kernels() { return cuda_ops_with_kernels(); }

void cuda::check_captures() { EXPECT_EQ(cuda_shim::capture_violations(), 0); }

}  // namespace synthesizer
