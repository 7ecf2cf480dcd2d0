// Launches: the runtime's checks, then block after block.
#include "tests/support/cuda_shim/include/cuda_shim/launch.h"

#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>

#include "tests/support/cuda_shim/block.h"
#include "tests/support/cuda_shim/include/cuda_shim/threads.h"
#include "tests/support/cuda_shim/runtime.h"

namespace cuda_shim {
namespace {

constexpr size_t kSharedBytes = size_t{48} << 10, kMostSharedBytes = size_t{227} << 10;
constexpr std::align_val_t kSharedAlignment{128};

// Kernels' limits of dynamic shared memory, as set.
std::map<const void*, size_t>& limits() {
  static std::map<const void*, size_t> limits;
  return limits;
}

void* g_dynamic_shared = nullptr;

// Dynamic shared memory of exactly so many bytes.
class SharedMemory {
 public:
  explicit SharedMemory(size_t bytes)
      : bytes_(bytes), memory_(bytes == 0 ? nullptr : ::operator new(bytes, kSharedAlignment)) {
    g_dynamic_shared = memory_;
  }
  ~SharedMemory() {
    ::operator delete(memory_, kSharedAlignment);
    g_dynamic_shared = nullptr;
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  void poison() {
    if (bytes_ > 0) std::memset(memory_, 0xFF, bytes_);
  }

 private:
  size_t bytes_;
  void* memory_;
};

cudaError_t check(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const auto empty = [](const dim3& dims) { return dims.x == 0 || dims.y == 0 || dims.z == 0; };
  if (empty(grid) || empty(block)) return cudaErrorInvalidConfiguration;
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) return cudaErrorInvalidConfiguration;
  if (block.x > 1024 || block.y > 1024 || block.z > 64) return cudaErrorInvalidConfiguration;
  if (uint64_t{block.x} * block.y * block.z > 1024) return cudaErrorInvalidConfiguration;
  if (config.numAttrs > 0 && config.attrs == nullptr) return cudaErrorInvalidValue;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    const auto& cluster = attribute.val.clusterDim;
    if (attribute.id == cudaLaunchAttributeCooperative && attribute.val.cooperative != 0) return cudaErrorNotSupported;
    if (attribute.id == cudaLaunchAttributeClusterDimension && cluster.x * cluster.y * cluster.z != 1)
      return cudaErrorNotSupported;
  }
  const std::lock_guard lock(state_mutex());
  const auto limit = limits().find(kernel);
  if (config.dynamicSmemBytes > (limit == limits().end() ? kSharedBytes : limit->second)) return cudaErrorInvalidValue;
  return cudaSuccess;
}

void run_grid(dim3 grid, dim3 block_dim, size_t shared_bytes, const std::function<void()>& thread) {
  static std::mutex device;
  const std::lock_guard lock(device);
  Orders launch_orders = orders();
  {
    const std::lock_guard state(state_mutex());
    ++settings().kernels_run;
  }
  g_grid_dim = grid;
  g_block_dim = block_dim;
  SharedMemory shared(shared_bytes);
  const uint64_t count = uint64_t{grid.x} * grid.y * grid.z;
  std::vector<uint32_t> order;
  if (launch_orders.schedule() == Schedule::kShuffled) launch_orders.fill(order, count);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t number = !order.empty()                                    ? order[i]
                            : launch_orders.schedule() == Schedule::kBackward ? count - 1 - i
                                                                              : i;
    shared.poison();
    const uint64_t row = number / grid.x;
    block().run({static_cast<unsigned>(number % grid.x), static_cast<unsigned>(row % grid.y),
                 static_cast<unsigned>(row / grid.y)},
                thread, launch_orders);
  }
}

}  // namespace

void* dynamic_shared() { return g_dynamic_shared; }

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> thread) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (const cudaError_t error = check(config, kernel); error != cudaSuccess) return note(error);
  return submit(config.stream, [grid = config.gridDim, block_dim = config.blockDim, bytes = config.dynamicSmemBytes,
                                thread = std::move(thread)] { run_grid(grid, block_dim, bytes, thread); });
}

cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (kernel == nullptr) return note(cudaErrorInvalidDeviceFunction);
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      static_cast<size_t>(value) > kMostSharedBytes)
    return note(cudaErrorInvalidValue);
  const std::lock_guard lock(state_mutex());
  limits()[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}

}  // namespace cuda_shim
