// cuBLASLt, loaded when it is asked for: the program starts, and is small, without it.
#pragma once

#include <cublasLt.h>

#include <memory>
#include <string>

namespace synthesizer::cuda {

// Its functions, as cublasLt.h declares them.
struct CublasLt {
  std::string path;     // of the file that was loaded
  std::string version;  // "13.0.2"

  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetStatusString) status_string;
  decltype(&cublasLtGetVersion) get_version;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoCheck) algo_check;
  decltype(&cublasLtMatmulAlgoGetHeuristic) get_heuristic;
  // cublasLtMatmulDescCreate and its like are inline functions of the header, of these.
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;

  // Throws Error "[cublaslt] what: …" unless `status` is success.
  void check(cublasStatus_t status, const char* what) const;
};

// From $SYNTHESIZER_CUBLASLT (a file), where the system looks, the toolkit, or a Python environment's wheels
// ($VIRTUAL_ENV). Throws Error that says where it was looked for. It stays loaded.
std::shared_ptr<const CublasLt> load_cublaslt();

}  // namespace synthesizer::cuda
