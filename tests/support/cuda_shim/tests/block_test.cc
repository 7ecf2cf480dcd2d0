// Threads, barriers, warps and orders of one launch.
#include <chrono>
#include <cmath>
#include <numeric>
#include <string>

#include "tests/support/cuda_shim/tests/shim_fixture.h"

namespace cuda_shim {
namespace {

using testing::Each;

class Block : public ShimTest {};

__global__ void write_indices(int* out) {
  const unsigned block_number = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block_number * (blockDim.x * blockDim.y * blockDim.z) + thread] +=
      1 + static_cast<int>(block_number * 100 + thread);
}

TEST_F(Block, EveryThreadRunsOnceUnderEverySchedule) {
  for (const NamedSchedule& order : all_schedules()) {
    SCOPED_TRACE(order.name);
    set_schedule(order.schedule, order.seed);
    std::vector<int> out(2 * 3 * 2 * (4 * 2 * 3), 0);
    ASSERT_EQ(launch_kernel({2, 3, 2}, {4, 2, 3}, 0, write_indices, out.data()), cudaSuccess);
    for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], 1 + i / 24 * 100 + i % 24);
  }
}

// Each thread leaves its number to its neighbour, `rounds` times.
__global__ void rotate(int* out, int rounds) {
  __shared__ int values[1024];
  const int own = static_cast<int>(threadIdx.x), count = static_cast<int>(blockDim.x);
  values[own] = own;
  for (int round = 0; round < rounds; ++round) {
    __syncthreads();
    const int neighbour = values[(own + 1) % count];
    __syncthreads();
    values[own] = neighbour;
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = values[own];
}

TEST_F(Block, ThreadsMeetAtBarriers) {
  for (const NamedSchedule& order : all_schedules())
    for (int threads : {1, 31, 64, 100, 1024}) {
      SCOPED_TRACE(order.name + std::to_string(threads));
      set_schedule(order.schedule, order.seed);
      std::vector<int> out(3 * threads, -1);
      ASSERT_EQ(launch_kernel(3, threads, 0, rotate, out.data(), 5), cudaSuccess);
      for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], (i % threads + 5) % threads);
    }
}

__global__ void return_early(int* out, int stay) {
  __shared__ int sum;
  if (threadIdx.x == 0) sum = 0;
  if (static_cast<int>(threadIdx.x) >= stay) return;
  __syncthreads();
  atomicAdd(&sum, 1);
  __syncthreads();
  out[threadIdx.x] = sum;
}

TEST_F(Block, BarriersDoNotWaitForThreadsThatReturned) {
  for (const NamedSchedule& order : all_schedules()) {
    set_schedule(order.schedule, order.seed);
    std::vector<int> out(7, -1);
    ASSERT_EQ(launch_kernel(1, 50, 0, return_early, out.data(), 7), cudaSuccess);
    EXPECT_THAT(out, Each(7)) << order.name;
  }
}

// The usual sum of a block: by warps, then over the warps.
__global__ void sum_block(const float* in, float* out, int count) {
  auto* partial = static_cast<float*>(dynamic_shared());
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  float sum = 0.0f;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
    sum += in[static_cast<int>(blockIdx.x) * count + i];
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
  if (lane == 0) partial[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    sum = lane < warps ? partial[lane] : 0.0f;
    for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(~0u, sum, static_cast<unsigned>(offset));
    if (lane == 0) out[blockIdx.x] = sum;
  }
}

TEST_F(Block, ReductionIsRightUnderEverySchedule) {
  constexpr int kBlocks = 5, kCount = 511;
  std::vector<float> in(kBlocks * kCount);
  std::iota(in.begin(), in.end(), 0.0f);
  for (const NamedSchedule& order : all_schedules()) {
    SCOPED_TRACE(order.name);
    set_schedule(order.schedule, order.seed);
    std::vector<float> out(kBlocks);
    ASSERT_EQ(launch_kernel(kBlocks, 256, 8 * sizeof(float), sum_block, in.data(), out.data(), kCount), cudaSuccess);
    for (int b = 0; b < kBlocks; ++b)
      EXPECT_EQ(out[b], std::accumulate(in.begin() + b * kCount, in.begin() + (b + 1) * kCount, 0.0f));
  }
}

__global__ void reverse_without_barrier(int* out) {
  auto* values = static_cast<int*>(dynamic_shared());
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  out[threadIdx.x] = values[blockDim.x - 1 - threadIdx.x];
}

TEST_F(Block, OrdersShowAMissingBarrier) {
  std::vector<int> forward(64), backward(64);
  ASSERT_EQ(launch_kernel(1, 64, 64 * sizeof(int), reverse_without_barrier, forward.data()), cudaSuccess);
  set_schedule(Schedule::kBackward);
  ASSERT_EQ(launch_kernel(1, 64, 64 * sizeof(int), reverse_without_barrier, backward.data()), cudaSuccess);
  EXPECT_NE(forward, backward);
}

__global__ void read_shared(float* out) {
  auto* values = static_cast<float*>(dynamic_shared());
  out[blockIdx.x] = values[3];
  values[3] = 1.0f;
}

TEST_F(Block, DynamicSharedMemoryBeginsAsNaN) {
  std::vector<float> out(2, 0.0f);
  ASSERT_EQ(launch_kernel(2, 1, 4 * sizeof(float), read_shared, out.data()), cudaSuccess);
  EXPECT_TRUE(std::isnan(out[0]));
  EXPECT_TRUE(std::isnan(out[1])) << "what the block before left";
}

__global__ void write_shared(int at) { static_cast<char*>(dynamic_shared())[at] = 0; }

TEST_F(Block, SharedMemoryEndsWhereItEnds) {
  EXPECT_EQ(launch_kernel(1, 1, 20, write_shared, 19), cudaSuccess);
  EXPECT_DEATH((void)launch_kernel(1, 1, 20, write_shared, 20), "heap-buffer-overflow");
}

__global__ void overflow_stack(int* out, int at) {
  int values[16] = {};
  __syncthreads();  // the stack is that of a fiber
  int* volatile pointer = values;
  out[threadIdx.x] = pointer[at];
}

TEST_F(Block, ArraysOfThreadsEndWhereTheyEnd) {
  std::vector<int> out(32);
  EXPECT_EQ(launch_kernel(1, 32, 0, overflow_stack, out.data(), 15), cudaSuccess);
  EXPECT_DEATH((void)launch_kernel(1, 32, 0, overflow_stack, out.data(), 16), "stack-buffer-overflow");
}

TEST_F(Block, BarriersAreFast) {
  std::vector<int> out(256);
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(launch_kernel(1, 256, 0, rotate, out.data(), 500), cudaSuccess);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  RecordProperty("seconds", std::to_string(seconds));
  EXPECT_LT(seconds, 5.0) << "1,000 barriers of 256 threads; a tenth of a second where nothing else runs";
}

}  // namespace
}  // namespace cuda_shim
