// What all products of one CublasLtProducts share.
#pragma once

#include <map>
#include <memory>
#include <tuple>

#include "core/kernels/cuda/cublaslt/algorithm_cache.h"
#include "core/kernels/cuda/cublaslt/library.h"
#include "core/kernels/cuda/cublaslt/products.h"

namespace synthesizer::cuda {

struct CublasLtProducts::Shared {
  Shared() = default;
  ~Shared() {
    if (handle != nullptr) api->destroy(handle);
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  std::shared_ptr<const CublasLt> api;
  cublasLtHandle_t handle = nullptr;
  std::unique_ptr<AlgorithmCache> cache;
  KernelCounters* counters = nullptr;
  bool tf32 = false;
  // By type, width and epilogue: whether the library does it as it is wanted (habits.h), once that is known.
  mutable std::map<std::tuple<DType, bool, ProductEpilogue>, bool> habits;
};

}  // namespace synthesizer::cuda
