// The kernels of CUDA on the first GPU, with the libraries that they have there.
#include "core/kernels/cuda/cublaslt/products.h"
#include "tests/core/kernels/cuda/device_check.h"
#include "tests/core/kernels/cuda/owned_kernels.h"
#include "tests/support/test_kernels.h"

namespace synthesizer {

std::unique_ptr<KernelTable> make_test_kernels(int, KernelCounters* counters, bool) {
  return std::make_unique<OwnedCudaKernels<cuda::CublasLtProducts>>(counters);
}

// There is one way to run them, twice: what threads race for comes out another way sooner or later.
std::vector<KernelVariant> kernel_variants() {
  const auto make = [] { return make_test_kernels(); };
  return {{"first run", "all", make}, {"second run", "all", make}};
}

std::vector<const std::type_info*> ops_with_kernels() { return cuda_ops_with_kernels(); }

void cuda::check_captures() {}

}  // namespace synthesizer
