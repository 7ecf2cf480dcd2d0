// Built without CUDA.
#include "core/base/error.h"
#include "launch/gpu/gpu.h"

namespace synthesizer {
namespace {

constexpr const char* kAbsent =
    "device: got CUDA, but this program was built without CUDA, which takes nvcc 12 or newer. Expected CPU";

}  // namespace

bool built_with_cuda() { return false; }

std::unique_ptr<Gpu> open_gpu(const GpuOptions&) { fail_usage(kAbsent); }

std::unique_ptr<KernelTable> planned_gpu_kernels() { fail_usage(kAbsent); }

std::string gpu_versions() { return "CUDA: not built in"; }

}  // namespace synthesizer
