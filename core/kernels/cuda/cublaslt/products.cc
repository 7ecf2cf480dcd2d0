#include "core/kernels/cuda/cublaslt/products.h"

#include "core/base/error.h"
#include "core/kernels/cuda/cublaslt/habits.h"
#include "core/kernels/cuda/cublaslt/library_gemm.h"
#include "core/kernels/cuda/cublaslt/shared.h"
#include "core/kernels/cuda/runtime/launch.h"

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
  if (product.bias && product.epilogue == ProductEpilogue::kMask) return false;
  return does_well(product) && LibraryGemm(shared_, product).has_algorithms();
}

// relu(NaN) must be NaN. The library documents max(x, 0) and has been reported to make it 0, so that it may well be
// that relus are never its own; a bias and the gradient by a mask are, whatever it does with relu.
bool CublasLtProducts::does_well(const Product& product) const {
  if (product.epilogue == ProductEpilogue::kNone) return true;
  const std::tuple key(product.dtype, product.wide, product.epilogue);
  auto known = shared_->habits.find(key);
  if (known == shared_->habits.end())
    known = shared_->habits.emplace(key, does_as_documented_here(shared_, product)).first;
  return known->second;
}

std::unique_ptr<DeviceGemm> CublasLtProducts::make(const Product& product) const {
  return std::make_unique<LibraryGemm>(shared_, product);
}

std::string CublasLtProducts::name() const {
  return fmt::format("cuBLASLt {} ({})", shared_->api->version, shared_->api->path);
}

}  // namespace synthesizer::cuda
