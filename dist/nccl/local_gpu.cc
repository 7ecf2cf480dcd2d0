#include "dist/nccl/local_gpu.h"

#include <cuda_runtime.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string_view>

#include "core/base/error.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer {
namespace {

constexpr int kShares = 23000;  // the first NCCL that takes several ranks on one GPU
constexpr const char* kShareVariable = "NCCL_MULTI_RANK_GPU_ENABLE";

}  // namespace

int local_rank(int otherwise) {
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"}) {
    const char* const value = std::getenv(name);
    if (value == nullptr) continue;
    const std::string_view text = value;
    int rank = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rank);
    if (error != std::errc() || end != text.data() + text.size() || rank < 0)
      fail("[nccl] {}: got '{}', expected the rank's number on its host", name, text);
    return rank;
  }
  return otherwise;
}

int gpu_of(int local_rank, int gpus) {
  CHECK(local_rank >= 0, "local rank {}", local_rank);
  if (gpus == 0)
    fail("[nccl] no GPU for local rank {}: there are none on its host, or CUDA_VISIBLE_DEVICES hides them", local_rank);
  return local_rank % gpus;
}

GpuId gpu_id(int gpu) {
  cudaDeviceProp properties = {};
  cuda::check(cudaGetDeviceProperties(&properties, gpu), "asking a GPU what it is");
  GpuId id = {};
  static_assert(sizeof(properties.uuid.bytes) == sizeof(id));
  std::memcpy(id.data(), properties.uuid.bytes, sizeof(id));
  return id;
}

void require_own_gpus(std::span<const GpuId> gpus, int nccl_version) {
  const char* const enabled = std::getenv(kShareVariable);
  if (nccl_version >= kShares && enabled != nullptr && std::string_view(enabled) != "0") return;
  std::map<GpuId, size_t> owners;
  for (size_t rank = 0; rank < gpus.size(); ++rank) {
    const auto [owner, first] = owners.emplace(gpus[rank], rank);
    if (first) continue;
    fail("[nccl] ranks {} and {} use the same GPU: expected one rank a GPU. Start fewer ranks on a host{}",
         owner->second, rank,
         nccl_version >= kShares
             ? fmt::format(", or set {}=1", kShareVariable)
             : fmt::format(" (NCCL {}; from {} on, {}=1 lets ranks share one)", nccl_version_name(nccl_version),
                           nccl_version_name(kShares), kShareVariable));
  }
}

}  // namespace synthesizer
