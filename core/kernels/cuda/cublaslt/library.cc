#include "core/kernels/cuda/cublaslt/library.h"

#include "core/base/error.h"
#include "core/kernels/cuda/runtime/dynamic_library.h"

namespace synthesizer::cuda {

void CublasLt::check(cublasStatus_t status, const char* what) const {
  if (status != CUBLAS_STATUS_SUCCESS) fail("[cublaslt] {}: {}", what, status_string(status));
}

std::shared_ptr<const CublasLt> load_cublaslt() {
  const DynamicLibrary library({.name = "cuBLASLt",
                                .variable = "SYNTHESIZER_CUBLASLT",
                                .files = {"libcublasLt.so.13", "libcublasLt.so.12"},
                                .wheels = {"nvidia/cu13/lib", "nvidia/cublas/lib"}});
  auto api = std::make_shared<CublasLt>();
  api->path = library.path();
  library.load("cublasLtCreate", api->create);
  library.load("cublasLtDestroy", api->destroy);
  library.load("cublasLtGetStatusString", api->status_string);
  library.load("cublasLtGetVersion", api->get_version);
  library.load("cublasLtMatmul", api->matmul);
  library.load("cublasLtMatmulAlgoCheck", api->algo_check);
  library.load("cublasLtMatmulAlgoGetHeuristic", api->get_heuristic);
  library.load("cublasLtMatmulDescCreate", api->desc_create);
  library.load("cublasLtMatmulDescDestroy", api->desc_destroy);
  library.load("cublasLtMatmulDescSetAttribute", api->desc_set);
  library.load("cublasLtMatrixLayoutCreate", api->layout_create);
  library.load("cublasLtMatrixLayoutDestroy", api->layout_destroy);
  library.load("cublasLtMatrixLayoutSetAttribute", api->layout_set);
  library.load("cublasLtMatmulPreferenceCreate", api->preference_create);
  library.load("cublasLtMatmulPreferenceDestroy", api->preference_destroy);
  library.load("cublasLtMatmulPreferenceSetAttribute", api->preference_set);
  const auto version = static_cast<int64_t>(api->get_version());  // 130002: 13.0.2
  api->version = fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  return api;
}

}  // namespace synthesizer::cuda
