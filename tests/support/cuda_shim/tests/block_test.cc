// Threads, barriers, warps and orders of one launch.
#include <chrono>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include "tests/support/cuda_shim/tests/shim_fixture.h"

namespace cuda_shim {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

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

__global__ void shuffle_all(int* out, float* floats, double* doubles) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int* own = out + threadIdx.x * 8;
  own[0] = __shfl_sync(~0u, lane, 5);
  own[1] = __shfl_sync(~0u, lane, 3, 8);
  own[2] = __shfl_xor_sync(~0u, lane, 16);
  own[3] = __shfl_xor_sync(~0u, lane, 8, 8);  // from the segment after the own, or from the one before
  own[4] = __shfl_down_sync(~0u, lane, 3);
  own[5] = __shfl_down_sync(~0u, lane, 3, 4);
  own[6] = __shfl_up_sync(~0u, lane, 2);
  own[7] = __shfl_up_sync(~0u, lane, 2, 16);
  floats[threadIdx.x] = __shfl_xor_sync(~0u, 0.5f + static_cast<float>(lane), 1);
  doubles[threadIdx.x] = __shfl_down_sync(~0u, 0.25 + lane, 1);
}

TEST_F(Block, Shuffles) {
  for (const NamedSchedule& order : all_schedules()) {
    SCOPED_TRACE(order.name);
    set_schedule(order.schedule, order.seed);
    std::vector<int> out(64 * 8);
    std::vector<float> floats(64);
    std::vector<double> doubles(64);
    ASSERT_EQ(launch_kernel(1, 64, 0, shuffle_all, out.data(), floats.data(), doubles.data()), cudaSuccess);
    for (int thread = 0; thread < 64; ++thread) {
      const int lane = thread % 32;
      const std::vector<int> own(out.begin() + thread * 8, out.begin() + thread * 8 + 8);
      EXPECT_THAT(own, ElementsAre(5, lane / 8 * 8 + 3, lane ^ 16, (lane & 8) != 0 ? lane - 8 : lane,
                                   lane < 29 ? lane + 3 : lane, lane % 4 < 1 ? lane + 3 : lane,
                                   lane >= 2 ? lane - 2 : lane, lane % 16 >= 2 ? lane - 2 : lane))
          << lane;
      EXPECT_EQ(floats[thread], 0.5f + static_cast<float>(lane ^ 1));
      EXPECT_EQ(doubles[thread], 0.25 + (lane < 31 ? lane + 1 : lane));
    }
  }
}

__global__ void vote(unsigned* out) {
  const bool low = threadIdx.x < 8;
  const unsigned mask = low ? 0xffu : ~0xffu;
  unsigned* own = out + threadIdx.x * 4;
  own[0] = __ballot_sync(mask, threadIdx.x % 2);
  own[1] = __any_sync(mask, threadIdx.x == 3);
  own[2] = __all_sync(mask, threadIdx.x >= 8);
  __syncwarp();
  own[3] = __activemask();
  __syncwarp();  // none has returned before
}

TEST_F(Block, PartsOfWarpsVoteApart) {
  std::vector<unsigned> out(32 * 4);
  ASSERT_EQ(launch_kernel(1, 32, 0, vote, out.data()), cudaSuccess);
  EXPECT_THAT(std::vector<unsigned>(out.begin(), out.begin() + 4), ElementsAre(0xaau, 1u, 0u, ~0u));
  EXPECT_THAT(std::vector<unsigned>(out.begin() + 32, out.begin() + 36), ElementsAre(0xaaaaaa00u, 0u, 1u, ~0u));
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

// What the launch threw.
template <typename... Expected, typename... Actual>
std::string error_of(dim3 block, void (*kernel)(Expected...), Actual... arguments) {
  try {
    (void)launch_kernel({2, 1, 1}, block, 0, kernel, arguments...);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

__global__ void barrier_and_warp() {
  if (threadIdx.x < 40)
    __syncthreads();
  else
    (void)__shfl_sync(~0u, 1, 0);
}
__global__ void lane_returned() {
  if (threadIdx.x == 7) return;
  __syncwarp();
}
__global__ void two_barriers() {
  if (threadIdx.x < 3)
    __syncthreads();
  else
    __syncthreads();
}
__global__ void mask_without_itself() { (void)__any_sync(1u, 1); }
__global__ void source_outside_mask() {
  if (threadIdx.x < 16) (void)__shfl_sync(0xffffu, 1, 20);
}
__global__ void wait_for_nothing() {
  __shared__ volatile int flag;
  while (flag == 0) __nanosleep(100);
}

TEST_F(Block, DeadlocksAreReported) {
  const std::string message = error_of(64, barrier_and_warp);
  EXPECT_THAT(message, AllOf(HasSubstr("block (0, 0, 0) of 64 threads cannot go on"),
                             HasSubstr("threads 0-39 at __syncthreads"), HasSubstr("threads 40-63 at __shfl_sync"),
                             HasSubstr("mask 0xffffffff, where lanes 0-7 are missing"), HasSubstr("block_test.cc:")));
  EXPECT_THAT(error_of(32, lane_returned),
              AllOf(HasSubstr("threads 0-6, 8-31 at __syncwarp"), HasSubstr("where lanes 7 are missing"),
                    HasSubstr("thread 7 returned")));
  EXPECT_THAT(error_of(20, lane_returned), HasSubstr("where lanes 7, 20-31 are missing"));
  EXPECT_THAT(error_of(5, two_barriers), HasSubstr("different barriers"));
  EXPECT_THAT(error_of(32, mask_without_itself), HasSubstr("mask 0x1 does not name lane 1, which calls"));
  EXPECT_THAT(error_of(32, source_outside_mask), HasSubstr("takes from lane 20, which mask 0xffff does not name"));
  EXPECT_THAT(error_of(4, wait_for_nothing), HasSubstr("threads 0-3 in __nanosleep"));
  // And the next launch is as ever.
  std::vector<int> out(256);
  ASSERT_EQ(launch_kernel(1, 256, 0, rotate, out.data(), 1), cudaSuccess);
  EXPECT_EQ(out[255], 0);
}

__global__ void pass_on(int* out) {
  __shared__ volatile int turn;
  if (threadIdx.x == 0) turn = 0;
  __syncthreads();
  while (turn != static_cast<int>(threadIdx.x)) __nanosleep(20);
  out[threadIdx.x] = turn;
  turn = turn + 1;
}

TEST_F(Block, ThreadsThatWaitInALoopGiveWay) {
  for (const NamedSchedule& order : all_schedules()) {
    set_schedule(order.schedule, order.seed);
    std::vector<int> out(64);
    ASSERT_EQ(launch_kernel(1, 64, 0, pass_on, out.data()), cudaSuccess);
    for (int i = 0; i < 64; ++i) ASSERT_EQ(out[i], i) << order.name;
  }
}

__global__ void trap_in_one() {
  if (threadIdx.x == 2) __trap();
  __syncthreads();
}

TEST_F(Block, ATrapEndsTheLaunch) { EXPECT_THAT(error_of(32, trap_in_one), HasSubstr("__trap at")); }

__global__ void count_all(unsigned* total, float* sum, unsigned* most) {
  atomicAdd(total, 1u);
  atomicAdd(sum, 0.5f);
  atomicMax(most, blockIdx.x * blockDim.x + threadIdx.x);
  atomicCAS(total, 9u, 9u);
}

TEST_F(Block, Atomics) {
  unsigned total = 0, most = 0;
  float sum = 0.0f;
  ASSERT_EQ(launch_kernel(3, 50, 0, count_all, &total, &sum, &most), cudaSuccess);
  EXPECT_EQ(total, 150u);
  EXPECT_EQ(sum, 75.0f);
  EXPECT_EQ(most, 149u);
}

TEST(DeviceMath, Bits) {
  EXPECT_EQ(__brev(1u), 0x80000000u);
  EXPECT_EQ(__brev(0x0000ff01u), 0x80ff0000u);
  EXPECT_EQ(__umulhi(0xffffffffu, 0xffffffffu), 0xfffffffeu);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__popc(0xf0f0u), 8);
  EXPECT_EQ(__float_as_uint(1.0f), 0x3f800000u);
  EXPECT_EQ(__int_as_float(0x40000000), 2.0f);
  EXPECT_EQ(rsqrtf(4.0f), 0.5f);
  EXPECT_FLOAT_EQ(__expf(1.5f), std::exp(1.5f));
  EXPECT_FLOAT_EQ(__logf(1.5f), std::log(1.5f));
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
