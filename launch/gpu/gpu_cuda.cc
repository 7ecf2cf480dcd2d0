// Built with CUDA.
#include <cuda_runtime.h>

#include <functional>

#include "core/base/error.h"
#include "core/kernels/cuda/cublaslt/library.h"
#include "core/kernels/cuda/cublaslt/products.h"
#include "core/kernels/cuda/cuda_kernels.h"
#include "core/kernels/cuda/runtime/cuda_device.h"
#include "dist/nccl/local_gpu.h"
#include "dist/nccl/nccl_communicator.h"
#include "dist/nccl/nccl_library.h"
#include "dist/parallel.h"
#include "launch/gpu/gpu.h"

namespace synthesizer {
namespace {

class CudaGpu : public Gpu {
 public:
  CudaGpu(int index, bool tf32) : device_(index), products_(nullptr, tf32), table_(device_, products_) {}

  const KernelTable& kernels() const override { return table_; }
  std::string name() const override { return fmt::format("{}, {}", device_.name(), products_.name()); }
  int64_t peak_bytes() const override { return device_.peak_bytes(); }
  int64_t memory_bytes() const override { return device_.memory().total; }
  int64_t taken_bytes() const override { return device_.memory().total - device_.memory().free; }

  AxisCommunicators communicators(const Mesh& mesh, bool ordered) override {
    if (mesh.world().size() == 1) return {};
    if (mesh_ == nullptr) {
      nccl_ = std::make_unique<NcclLibrary>();
      world_ = std::make_unique<NcclCommunicator>(*nccl_, device_, mesh.world(),
                                                  NcclOptions{.ordered = ordered, .limits = nccl_limits()});
      mesh_ = std::make_unique<Mesh>(mesh.shape(), *world_);
    }
    return axis_communicators(*mesh_);
  }

 private:
  cuda::CudaDevice device_;
  cuda::CublasLtProducts products_;
  cuda::CudaKernelTable table_;
  std::unique_ptr<NcclLibrary> nccl_;
  std::unique_ptr<NcclCommunicator> world_;
  std::unique_ptr<Mesh> mesh_;  // of the GPUs
};

// What cuBLASLt's products take, where it is not loaded.
class PlannedProducts : public cuda::ProductLibrary {
 public:
  int64_t workspace_bytes() const override { return cuda::CublasLtProducts::kWorkspaceBytes; }
  bool takes_epilogue(const Product&) const override { return false; }
  std::unique_ptr<cuda::DeviceGemm> make(const Product&) const override {
    fail("[plan] a product cannot be made where nothing is run");
  }
  std::string name() const override { return "none"; }
};

class PlannedKernels : public KernelTable {
 public:
  int64_t workspace(const Op& op, std::span<const ValueType> inputs,
                    std::span<const ValueType> outputs) const override {
    return cuda::kernel_workspace(op, inputs, outputs, products_);
  }
  std::unique_ptr<Kernel> make(const Op& op, std::span<const ValueType>, std::span<const ValueType>,
                               const AxisCommunicators&) const override {
    fail("[plan] {} cannot be made where nothing is run", op.name());
  }

 private:
  PlannedProducts products_;
};

std::string toolkit() { return fmt::format("{}.{}", CUDART_VERSION / 1000, CUDART_VERSION / 10 % 100); }

}  // namespace

bool built_with_cuda() { return true; }

std::unique_ptr<Gpu> open_gpu(const GpuOptions& options) {
  std::string why = "there is none";
  const int count = cuda::device_count(&why);
  if (count == 0) fail_usage("device: got CUDA, but no GPU can be used here: {}. CPU needs none", why);
  try {
    return std::make_unique<CudaGpu>(gpu_of(local_rank(options.local_rank), count), options.tf32);
  } catch (const Error& error) {
    fail_usage("device: got CUDA, but {}", error.what());
  }
}

std::unique_ptr<KernelTable> planned_gpu_kernels() { return std::make_unique<PlannedKernels>(); }

std::string gpu_versions() {
  std::string lines = fmt::format("CUDA {} built in\n", toolkit());
  std::string why = "there is none";
  const int count = cuda::device_count(&why);
  if (count == 0) lines += fmt::format("GPU: {}\n", why);
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties = {};
    if (cudaGetDeviceProperties(&properties, i) == cudaSuccess)
      lines += fmt::format("GPU {}: {}, sm_{}{}, {} MiB\n", i, properties.name, properties.major, properties.minor,
                           properties.totalGlobalMem >> 20);
  }
  // A line each, in place of which there may be what is wrong.
  const auto line_of = [&](const char* library, const std::function<std::string()>& name) {
    try {
      lines += name();
    } catch (const Error& error) {
      lines += fmt::format("{}: {}", library, error.what());
    }
  };
  line_of("cuBLASLt", [] {
    const auto cublaslt = cuda::load_cublaslt();
    return fmt::format("cuBLASLt {} ({})\n", cublaslt->version, cublaslt->path);
  });
  line_of("NCCL", [] { return NcclLibrary().name(); });
  return lines;
}

}  // namespace synthesizer
