// Launch checks, memory, events, and what tests can set.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "tests/support/cuda_shim/tests/shim_fixture.h"

namespace cuda_shim {
namespace {

using testing::Each;

class Runtime : public ShimTest {};

__global__ void nothing() {}
__global__ void shared_by_attribute() {}

TEST_F(Runtime, LaunchesAreChecked) {
  EXPECT_EQ(launch_kernel(0, 32, 0, nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_kernel(1, {32, 0, 1}, 0, nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_kernel(1, 1025, 0, nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_kernel(1, {32, 32, 2}, 0, nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_kernel(1, {1, 1, 65}, 0, nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_kernel({1, 65536, 1}, 1, 0, nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(kernels_run(), 0);

  constexpr int kMost = 227 << 10;
  EXPECT_EQ(launch_kernel(1, 1, 48 << 10, shared_by_attribute), cudaSuccess);
  EXPECT_EQ(launch_kernel(1, 1, (48 << 10) + 1, shared_by_attribute), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(shared_by_attribute, cudaFuncAttributeMaxDynamicSharedMemorySize, kMost + 1),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(shared_by_attribute, cudaFuncAttributeMaxDynamicSharedMemorySize, kMost), cudaSuccess);
  EXPECT_EQ(launch_kernel(1, 1, kMost, shared_by_attribute), cudaSuccess);
  EXPECT_EQ(launch_kernel(1, 1, kMost, nothing), cudaErrorInvalidValue);
  EXPECT_EQ(kernels_run(), 2);

  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config{1, 1, 0, nullptr, &attribute, 1};
  EXPECT_EQ(cudaLaunchKernelEx(&config, nothing), cudaErrorNotSupported);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorNotSupported), "cudaErrorNotSupported");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
  (void)cudaGetLastError();
}

TEST_F(Runtime, MemoryIsTrackedAndBeginsAsNaN) {
  float* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 10 * sizeof(float)), cudaSuccess);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 256, 0u);
  EXPECT_EQ(live_allocations(), 1);
  EXPECT_EQ(live_bytes(), 40);
  std::vector<float> host(10, 0.0f);
  ASSERT_EQ(cudaMemcpy(host.data(), memory, 40, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_THAT(host, Each(testing::IsNan()));

  EXPECT_EQ(cudaMemcpy(memory, host.data(), 40, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), memory, 40, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(memory + 1, host.data(), 40, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(memory, 0, 41), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(memory, 0, 40), cudaSuccess);
  EXPECT_THAT(std::vector<float>(memory, memory + 10), Each(0.0f));

  EXPECT_EQ(cudaFree(memory + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(memory), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);

  double* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(&pinned, 16), cudaSuccess);
  EXPECT_EQ(live_handles(), 1);
  pinned[1] = 1.0;
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
  (void)cudaGetLastError();
}

TEST_F(Runtime, AllocationsFailWhenAsked) {
  void* first = nullptr;
  void* second = nullptr;
  fail_allocation(2);
  EXPECT_EQ(cudaMalloc(&first, 8), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, 8), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&second, 8), cudaSuccess);
  set_device_memory(100);
  size_t free = 0, total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(free, 84u);
  EXPECT_EQ(total, 100u);
  void* third = nullptr;
  EXPECT_EQ(cudaMalloc(&third, 85), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_EQ(cudaFree(second), cudaSuccess);
  (void)cudaGetLastError();
}

TEST_F(Runtime, AsOnAMachineWithoutADriver) {
  int count = -7;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  set_device_count(0);
  count = -7;
  EXPECT_EQ(cudaGetDeviceCount(&count), 35);
  EXPECT_EQ(count, -7);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 8), cudaErrorInsufficientDriver);
  EXPECT_EQ(launch_kernel(1, 1, 0, nothing), cudaErrorInsufficientDriver);
  (void)cudaGetLastError();
}

TEST_F(Runtime, TellsOfADevice) {
  cudaDeviceProp properties;
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_STREQ(properties.name, "shim");
  EXPECT_EQ(properties.major, 9);
  int value = 0;
  ASSERT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
  EXPECT_EQ(value, 4);
  ASSERT_EQ(cudaDriverGetVersion(&value), cudaSuccess);
  EXPECT_EQ(value, 13000);
}

TEST_F(Runtime, HostFunctionsRunOneAtATimeAndCallNothing) {
  struct Seen {
    std::atomic<int> inside = 0, most = 0;
    cudaError_t error = cudaSuccess;
  } seen;
  const cudaHostFn_t function = [](void* data) {
    Seen& all = *static_cast<Seen*>(data);
    all.most = std::max<int>(all.most, ++all.inside);
    std::this_thread::yield();
    all.error = cudaDeviceSynchronize();
    --all.inside;
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        for (int n = 0; n < 100; ++n) EXPECT_EQ(cudaLaunchHostFunc(nullptr, function, &seen), cudaSuccess);
      });
  }
  EXPECT_EQ(seen.most, 1);
  EXPECT_EQ(seen.error, cudaErrorNotPermitted);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

TEST_F(Runtime, EventsMeasureTime) {
  cudaEvent_t start, end, untimed;
  ASSERT_EQ(cudaEventCreate(&start), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&end), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming), cudaSuccess);
  float milliseconds = -1.0f;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
  for (cudaEvent_t event : {start, end, untimed}) ASSERT_EQ(cudaEventRecord(event), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaSuccess);
  EXPECT_GE(milliseconds, 0.0f);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, untimed), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventSynchronize(end), cudaSuccess);
  for (cudaEvent_t event : {start, end, untimed}) ASSERT_EQ(cudaEventDestroy(event), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(end), cudaErrorInvalidResourceHandle);
  (void)cudaGetLastError();
}

__global__ void add_through_barrier(int* total) {
  __shared__ int sum;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, 1);
  __syncthreads();
  if (threadIdx.x == 0) *total += sum;
}

TEST_F(Runtime, HostThreadsLaunchAtTheSameTime) {
  std::vector<int> totals(4, 0);
  std::vector<std::thread> threads;
  for (int& total : totals)
    threads.emplace_back([&total] {
      for (int i = 0; i < 50; ++i) EXPECT_EQ(launch_kernel(3, 70, 0, add_through_barrier, &total), cudaSuccess);
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(totals, Each(50 * 3 * 70));
  EXPECT_EQ(kernels_run(), 200);
}

}  // namespace
}  // namespace cuda_shim
