// Threads that wait for what never comes, that wait in loops, and that give up.
#include <stdexcept>
#include <string>

#include "tests/support/cuda_shim/tests/shim_fixture.h"

namespace cuda_shim {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Stops : public ShimTest {};

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

__global__ void count_at_barrier(int* total) {
  atomicAdd(total, 1);
  __syncthreads();
}

TEST_F(Stops, DeadlocksAreReported) {
  const std::string message = error_of(64, barrier_and_warp);
  EXPECT_THAT(message, AllOf(HasSubstr("block (0, 0, 0) of 64 threads cannot go on"),
                             HasSubstr("threads 0-39 at __syncthreads"), HasSubstr("threads 40-63 at __shfl_sync"),
                             HasSubstr("mask 0xffffffff, where lanes 0-7 are missing"), HasSubstr("stops_test.cc:")));
  EXPECT_THAT(error_of(32, lane_returned),
              AllOf(HasSubstr("threads 0-6, 8-31 at __syncwarp"), HasSubstr("where lanes 7 are missing"),
                    HasSubstr("thread 7 returned")));
  EXPECT_THAT(error_of(20, lane_returned), HasSubstr("where lanes 7, 20-31 are missing"));
  EXPECT_THAT(error_of(5, two_barriers), HasSubstr("different barriers"));
  EXPECT_THAT(error_of(32, mask_without_itself), HasSubstr("mask 0x1 does not name lane 1, which calls"));
  EXPECT_THAT(error_of(32, source_outside_mask), HasSubstr("takes from lane 20, which mask 0xffff does not name"));
  EXPECT_THAT(error_of(4, wait_for_nothing), HasSubstr("threads 0-3 in __nanosleep"));
  // And the next launch is as ever.
  int total = 0;
  ASSERT_EQ(launch_kernel(1, 256, 0, count_at_barrier, &total), cudaSuccess);
  EXPECT_EQ(total, 256);
}

__global__ void pass_on(int* out) {
  __shared__ volatile int turn;
  if (threadIdx.x == 0) turn = 0;
  __syncthreads();
  while (turn != static_cast<int>(threadIdx.x)) __nanosleep(20);
  out[threadIdx.x] = turn;
  turn = turn + 1;
}

TEST_F(Stops, ThreadsThatWaitInALoopGiveWay) {
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

TEST_F(Stops, ATrapEndsTheLaunch) { EXPECT_THAT(error_of(32, trap_in_one), HasSubstr("__trap at")); }

}  // namespace
}  // namespace cuda_shim
