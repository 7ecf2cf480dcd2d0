// What the CPU's kernels are given.
#pragma once

#include "core/kernels/cpu/loops/loops.h"
#include "core/kernels/gemm.h"
#include "core/kernels/kernel_case.h"

namespace synthesizer {

struct CpuContext {
  int threads = 1;
  bool same_bits = false;              // whatever the number of threads
  KernelCounters* counters = nullptr;  // may be null
  LoopTables loops;

  GemmThreads gemm_threads() const { return {threads, same_bits}; }

  void count(std::atomic<int64_t> KernelCounters::*counter, int64_t n) const { count_in(counters, counter, n); }
};

using KernelCase = BasicKernelCase<CpuContext>;
using KernelEntry = BasicKernelEntry<CpuContext>;

}  // namespace synthesizer
