// A rank's kernels on the device that it is to use, and all that they need.
#pragma once

#include <memory>
#include <string>

#include "configs/schema/run.pb.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/tensor/dtype.h"
#include "launch/gpu/gpu.h"

namespace synthesizer {

class RankKernels {
 public:
  // Of the CPU. `same_bits`: whatever the number of threads (core/kernels/cpu/cpu_kernels.h).
  explicit RankKernels(int threads, bool same_bits = false);
  // Of a GPU; the host's part of the work has `threads`. With `same_bits` sums among ranks are in one order, whatever
  // their number. UsageError if there is no GPU.
  RankKernels(int threads, bool same_bits, const GpuOptions& gpu);
  // Of the run's device, for the rank of this host that `local_rank` says.
  RankKernels(const config::Run& run, int threads, int local_rank);

  const KernelTable& table() const { return gpu_ ? gpu_->kernels() : *cpu_; }
  int threads() const { return threads_; }
  // Null: the CPU.
  const Gpu* gpu() const { return gpu_.get(); }
  // Of the mesh's axes with more than one rank, for these kernels. They live no longer than this and the mesh.
  // Collective.
  AxisCommunicators communicators(const Mesh& mesh) const;
  // Measured floating-point operations a second of products, the fastest of a few large ones.
  double product_peak(DType dtype) const;

 private:
  int threads_;
  bool ordered_ = false;
  std::unique_ptr<CpuKernelTable> cpu_;
  std::unique_ptr<Gpu> gpu_;
};

// To plan the run with, which needs no device. UsageError for one that the program was built without.
std::unique_ptr<KernelTable> planned_kernels(const config::Run& run, int threads);

}  // namespace synthesizer
