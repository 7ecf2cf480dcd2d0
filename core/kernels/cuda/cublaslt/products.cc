#include "core/kernels/cuda/cublaslt/products.h"

#include "core/base/error.h"
#include "core/kernels/cuda/cublaslt/library_gemm.h"
#include "core/kernels/cuda/cublaslt/shared.h"
#include "core/kernels/cuda/launch.h"

namespace synthesizer::cuda {

CublasLtProducts::CublasLtProducts(KernelCounters* counters, bool tf32) {
  auto shared = std::make_shared<Shared>();
  shared->api = load_cublaslt();
  shared->counters = counters;
  shared->tf32 = tf32;
  shared->api->check(shared->api->create(&shared->handle), "starting");
  int device = 0;
  cudaDeviceProp properties = {};
  cuda::check(cudaGetDevice(&device), "asking for the GPU");
  cuda::check(cudaGetDeviceProperties(&properties, device), "asking a GPU what it is");
  shared->cache = std::make_unique<AlgorithmCache>(properties.name, shared->api->version);
  shared_ = std::move(shared);
}

CublasLtProducts::~CublasLtProducts() = default;

bool CublasLtProducts::takes_epilogue(const Product& product) const {
  if (product.is_plain()) return true;
  if (product.accumulate || product.dtype == DType::kFloat64 || product.epilogue == ProductEpilogue::kGate)
    return false;
  return LibraryGemm(shared_, product).has_algorithms();
}

std::unique_ptr<DeviceGemm> CublasLtProducts::make(const Product& product) const {
  return std::make_unique<LibraryGemm>(shared_, product);
}

std::string CublasLtProducts::name() const {
  return fmt::format("cuBLASLt {} ({})", shared_->api->version, shared_->api->path);
}

}  // namespace synthesizer::cuda
