// Operations of warps, atomics and arithmetic.
#include <cmath>

#include "tests/support/cuda_shim/tests/shim_fixture.h"

namespace cuda_shim {
namespace {

using testing::ElementsAre;

class Warp : public ShimTest {};

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

TEST_F(Warp, Shuffles) {
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

TEST_F(Warp, PartsOfWarpsVoteApart) {
  std::vector<unsigned> out(32 * 4);
  ASSERT_EQ(launch_kernel(1, 32, 0, vote, out.data()), cudaSuccess);
  EXPECT_THAT(std::vector<unsigned>(out.begin(), out.begin() + 4), ElementsAre(0xaau, 1u, 0u, ~0u));
  EXPECT_THAT(std::vector<unsigned>(out.begin() + 32, out.begin() + 36), ElementsAre(0xaaaaaa00u, 0u, 1u, ~0u));
}

__global__ void count_all(unsigned* total, float* sum, unsigned* most) {
  atomicAdd(total, 1u);
  atomicAdd(sum, 0.5f);
  atomicMax(most, blockIdx.x * blockDim.x + threadIdx.x);
  atomicCAS(total, 9u, 9u);
}

TEST_F(Warp, Atomics) {
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

}  // namespace
}  // namespace cuda_shim
