// What all products of one CublasLtProducts share.
#pragma once

#include <memory>

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
};

}  // namespace synthesizer::cuda
