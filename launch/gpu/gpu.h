// A rank's GPU, behind an interface that the program has also where it was built without CUDA (gpu_absent.cc).
#pragma once

#include <memory>
#include <string>

#include "core/graph/kernel.h"
#include "dist/mesh.h"

namespace synthesizer {

class Gpu {
 public:
  virtual ~Gpu() = default;
  virtual const KernelTable& kernels() const = 0;
  // "cuda 0 (NVIDIA H200), cuBLASLt 13.0.2"
  virtual std::string name() const = 0;
  // Of the mesh's axes with more than one rank, by NCCL; they live as long as this, and are made once. Collective.
  // `ordered`: sums in one order for any number of ranks. Throws Error without NCCL.
  virtual AxisCommunicators communicators(const Mesh& mesh, bool ordered) = 0;
  // Bytes of the device's memory that the program has taken, at most so far.
  virtual int64_t peak_bytes() const = 0;
  // Bytes that it has, and those that are taken now: by this program, others on it, and CUDA.
  virtual int64_t memory_bytes() const = 0;
  virtual int64_t taken_bytes() const = 0;
};

struct GpuOptions {
  int local_rank = 0;  // among the ranks of this host: the first GPU for the first, and so on
  bool tf32 = false;   // float32 products in TF32
};

// Whether this program was built with CUDA.
bool built_with_cuda();
// Throws UsageError that says why: built without CUDA, no driver, no GPU, no cuBLASLt.
std::unique_ptr<Gpu> open_gpu(const GpuOptions& options);
// The same kernels where there need be no GPU: what memory they want, but none can be made. UsageError without CUDA.
std::unique_ptr<KernelTable> planned_gpu_kernels();
// What was built in and what is found here, a line each: for --version.
std::string gpu_versions();

}  // namespace synthesizer
