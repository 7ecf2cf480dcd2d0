// What CUDA's kernels are given.
#pragma once

#include <cuda_runtime.h>

#include "core/kernels/cuda/products.h"
#include "core/kernels/cuda/runtime/cuda_device.h"
#include "core/kernels/kernel_case.h"

namespace synthesizer::cuda {

struct CudaContext {
  cudaStream_t stream = nullptr;                // that kernels run on, one after the other
  cudaStream_t communication_stream = nullptr;  // that collectives run on
  KernelCounters* counters = nullptr;           // may be null
  const ProductLibrary* products = nullptr;
  CudaDevice* device = nullptr;

  void count(std::atomic<int64_t> KernelCounters::*counter, int64_t n) const { count_in(counters, counter, n); }
};

// Kernels give their work to the stream and return; a captured one is run again without a call, so a count is made
// where a run is asked for, not where it happens.
using KernelCase = BasicKernelCase<CudaContext>;
using KernelEntry = BasicKernelEntry<CudaContext>;

}  // namespace synthesizer::cuda
