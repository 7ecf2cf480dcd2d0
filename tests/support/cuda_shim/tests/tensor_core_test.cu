// The tensor core's header as kernels use it: layouts of registers, and copies that are there only when waited for.
#include <bit>
#include <cmath>
#include <cstring>

#include "core/kernels/cuda/device/tensor_core.h"
#include "tests/support/cuda_shim/tests/shim_fixture.h"

namespace cuda_shim {
namespace {

using synthesizer::cuda::copy_async_16;
using synthesizer::cuda::copy_async_commit;
using synthesizer::cuda::copy_async_wait;
using testing::Each;

class TensorCore : public ShimTest {};

uint16_t bfloat16(float x) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16); }

// c [16, 8] += a [16, 16] b [16, 8], both row by row; the registers filled by the layout's definition.
__global__ void multiply(const uint16_t* a, const uint16_t* b, float* c) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const auto pair = [](uint16_t low, uint16_t high) { return static_cast<uint32_t>(low) | uint32_t{high} << 16; };
  const auto a_pair = [&](int row, int column) { return pair(a[row * 16 + column], a[row * 16 + column + 1]); };
  const auto b_pair = [&](int row) { return pair(b[row * 8 + g], b[(row + 1) * 8 + g]); };
  const uint32_t a_part[4] = {a_pair(g, 2 * t), a_pair(g + 8, 2 * t), a_pair(g, 2 * t + 8), a_pair(g + 8, 2 * t + 8)};
  const uint32_t b_part[2] = {b_pair(2 * t), b_pair(2 * t + 8)};
  float d[4];
  for (int i = 0; i < 4; ++i) d[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  synthesizer::cuda::mma_16x8x16(d, a_part, b_part);
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

// The same, with the operands loaded from shared memory.
__global__ void multiply_loaded(const uint16_t* a, const uint16_t* b, float* c) {
  auto* shared_a = static_cast<uint16_t*>(dynamic_shared());
  uint16_t* shared_b = shared_a + 16 * 16;
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  for (int i = lane; i < 16 * 16 / 8; i += 32) copy_async_16(shared_a + i * 8, a + i * 8, true);
  if (lane < 16) copy_async_16(shared_b + lane * 8, b + lane * 8, true);
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();
  uint32_t a_part[4], b_part[2];
  synthesizer::cuda::ldmatrix_x4(a_part, shared_a + lane % 16 * 16 + lane / 16 * 8);
  synthesizer::cuda::ldmatrix_x2_transposed(b_part, shared_b + lane % 16 * 8);
  float d[4];
  for (int i = 0; i < 4; ++i) d[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  synthesizer::cuda::mma_16x8x16(d, a_part, b_part);
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

TEST_F(TensorCore, MultipliesAsArithmeticDoes) {
  std::vector<float> a(16 * 16), b(16 * 8);
  alignas(16) uint16_t aligned_a[16 * 16], aligned_b[16 * 8];
  for (size_t i = 0; i < a.size(); ++i) aligned_a[i] = bfloat16(a[i] = static_cast<float>(i * 7 % 31) - 15.0f);
  for (size_t i = 0; i < b.size(); ++i) aligned_b[i] = bfloat16(b[i] = static_cast<float>(i * 5 % 17) * 0.5f);
  for (const auto kernel : {multiply, multiply_loaded})
    for (const NamedSchedule& order : all_schedules()) {
      SCOPED_TRACE(order.name);
      set_schedule(order.schedule, order.seed);
      std::vector<float> c(16 * 8);
      for (size_t i = 0; i < c.size(); ++i) c[i] = static_cast<float>(i);
      ASSERT_EQ(launch_kernel(1, 32, (16 * 16 + 16 * 8) * 2, kernel, aligned_a, aligned_b, c.data()), cudaSuccess);
      for (int row = 0; row < 16; ++row)
        for (int column = 0; column < 8; ++column) {
          float expected = static_cast<float>(row * 8 + column);
          for (int k = 0; k < 16; ++k) expected += a[row * 16 + k] * b[k * 8 + column];
          ASSERT_EQ(c[row * 8 + column], expected) << row << ", " << column;
        }
    }
}

// Matrix m has 100 m + 8 row + column; each load's registers, by the definition: row g, columns 2t and 2t + 1, or the
// other way about.
__global__ void load_all(uint32_t* out) {
  auto* matrices = static_cast<uint16_t*>(dynamic_shared());
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 4 * 64; i += 32) matrices[i] = static_cast<uint16_t>(i / 64 * 100 + i % 64);
  __syncthreads();
  const uint16_t* row = matrices + lane * 8;
  uint32_t four[4], four_transposed[4], two[2], two_transposed[2];
  synthesizer::cuda::ldmatrix_x4(four, row);
  synthesizer::cuda::ldmatrix_x4_transposed(four_transposed, row);
  // Only the first 16 addresses count.
  synthesizer::cuda::ldmatrix_x2(two, lane < 16 ? row : nullptr);
  synthesizer::cuda::ldmatrix_x2_transposed(two_transposed, lane < 16 ? row : nullptr);
  uint32_t* own = out + lane * 12;
  for (int i = 0; i < 4; ++i) own[i] = four[i], own[4 + i] = four_transposed[i];
  for (int i = 0; i < 2; ++i) own[8 + i] = two[i], own[10 + i] = two_transposed[i];
}

TEST_F(TensorCore, LoadsAsDefined) {
  std::vector<uint32_t> out(32 * 12);
  ASSERT_EQ(launch_kernel(1, 32, 4 * 64 * 2, load_all, out.data()), cudaSuccess);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    const uint32_t g = lane / 4, t = lane % 4;
    for (uint32_t m = 0; m < 4; ++m) {
      const uint32_t straight = (m * 100 + g * 8 + 2 * t) | (m * 100 + g * 8 + 2 * t + 1) << 16;
      const uint32_t transposed = (m * 100 + 2 * t * 8 + g) | (m * 100 + (2 * t + 1) * 8 + g) << 16;
      ASSERT_EQ(out[lane * 12 + m], straight);
      ASSERT_EQ(out[lane * 12 + 4 + m], transposed);
      if (m < 2) {
        ASSERT_EQ(out[lane * 12 + 8 + m], straight);
        ASSERT_EQ(out[lane * 12 + 10 + m], transposed);
      }
    }
  }
}

__global__ void load_misaligned() {
  uint32_t r[4];
  synthesizer::cuda::ldmatrix_x4(r, static_cast<char*>(dynamic_shared()) + threadIdx.x * 8);
}

TEST_F(TensorCore, RowsAreAligned) {
  EXPECT_THROW((void)launch_kernel(1, 32, 512, load_misaligned), std::runtime_error);
}

// Copies two groups and waits until `left` are under way; then says what is there.
template <int kLeft>
__global__ void copy_two(const float* in, float* out) {
  auto* shared = static_cast<float*>(dynamic_shared());
  for (int i = 0; i < 8; ++i) shared[i] = -1.0f;
  copy_async_16(shared, in, true);
  copy_async_commit();
  copy_async_16(shared + 4, in, false);
  copy_async_commit();
  copy_async_wait<kLeft>();
  for (int i = 0; i < 8; ++i) out[i] = shared[i];
}

TEST_F(TensorCore, CopiesAreThereWhenWaitedFor) {
  alignas(16) const float in[4] = {1.0f, 1.0f, 1.0f, 1.0f};
  const auto copied = [&](auto kernel) {
    std::vector<float> out(8);
    EXPECT_EQ(launch_kernel(1, 1, 32, kernel, in, out.data()), cudaSuccess);
    return std::pair{std::vector<float>(out.begin(), out.begin() + 4), std::vector<float>(out.begin() + 4, out.end())};
  };
  const auto [none, also_none] = copied(copy_two<2>);
  EXPECT_THAT(none, Each(testing::IsNan()));
  EXPECT_THAT(also_none, Each(testing::IsNan()));
  const auto [first, not_second] = copied(copy_two<1>);
  EXPECT_THAT(first, Each(1.0f));
  EXPECT_THAT(not_second, Each(testing::IsNan()));
  const auto [both, zeros] = copied(copy_two<0>);
  EXPECT_THAT(both, Each(1.0f));
  EXPECT_THAT(zeros, Each(0.0f));
}

}  // namespace
}  // namespace cuda_shim
