// Kernels used by several ranks of one process at once, and what is counted of collectives.
#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <thread>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/ops/collectives.h"
#include "core/ops/einsum.h"
#include "core/ops/softmax.h"
#include "dist/thread_communicator.h"
#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

Tensors attention_inputs(DType dtype) {
  return as_type({random_tensor(Shape{kBatch(2), kLength(129), kHeads(3), kHead(33)}, 81),
                  random_tensor(Shape{kBatch(2), kMemoryLength(131), kHeads(3), kHead(33)}, 82)},
                 dtype);
}

TEST(Threads, RanksOfOneProcessDoNotDisturbEachOther) {
  const Einsum op({"batch", "heads", "length", "memory_length"});
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    const Tensors inputs = attention_inputs(dtype), expected = run_kernel(CpuKernelTable(1), op, inputs);
    std::atomic<int> wrong = 0;
    std::vector<std::thread> ranks;
    for (int rank = 0; rank < 4; ++rank)
      ranks.emplace_back([&] {
        const CpuKernelTable table(1);
        for (int i = 0; i < 20; ++i) wrong += run_kernel(table, op, inputs)[0].values != expected[0].values;
      });
    for (std::thread& rank : ranks) rank.join();
    EXPECT_EQ(wrong, 0);
  }
}

TEST(Threads, TheCallersOpenMpSettingStays) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(5);
  for (const DType dtype : {DType::kFloat32, DType::kFloat64})
    run_kernel(CpuKernelTable(2), Einsum({"batch", "heads", "length", "memory_length"}), attention_inputs(dtype));
  EXPECT_EQ(omp_get_max_threads(), 5);
  omp_set_num_threads(before);
}

TEST(Collectives, CountCallsAndBytes) {
  run_ranks(2, [](Communicator& world) {
    KernelCounters counters;
    const CpuKernelTable table(1, &counters);
    const AxisCommunicators axes{{"data", &world}};
    const Tensors x = as_type({random_tensor(Shape{kLength(33), kModel(4)}, 83)}, DType::kFloat32);
    const auto bytes_of = [&](const Op& op) {
      const int64_t before = counters.collective_bytes;
      run_kernel(table, op, x, -1, axes);
      return counters.collective_bytes - before;
    };
    EXPECT_EQ(bytes_of(AllReduce("data", Reduction::kSum)), 33 * 4 * 4);
    EXPECT_EQ(bytes_of(ReduceScatter("data", 2, "model")), 33 * 4 * 4);
    EXPECT_EQ(bytes_of(AllGather("data", 2, "model")), 33 * 8 * 4);
    EXPECT_EQ(bytes_of(AllToAll("data", 2, "length", "model")), 33 * 4 * 4);
    EXPECT_EQ(counters.collective_calls, 4);
  });
}

TEST(Collectives, TensorsApartAreReducedOneByOne) {
  run_ranks(2, [](Communicator& world) {
    KernelCounters counters;
    const CpuKernelTable table(1, &counters);
    const Tensors x =
        as_type({random_tensor(Shape{kModel(33)}, 84), random_tensor(Shape{kHead(5)}, 85)}, DType::kFloat32);
    const Tensors y = run_kernel(table, AllReduce("data", Reduction::kSum, 2), x, -1, {{"data", &world}});
    for (size_t t = 0; t < 2; ++t)
      for (int64_t i = 0; i < x[t].size(); ++i) EXPECT_EQ(y[t][i], 2 * x[t][i]);
  });
}

TEST(KernelTable, NamesWhatIsMissing) {
  EXPECT_THROW(
      run_kernel(CpuKernelTable(1), AllReduce("tensor", Reduction::kSum), {random_tensor(Shape{kModel(3)}, 1)}), Error);
  const Leaf leaf(Leaf::Kind::kInput, DType::kFloat32, Shape{kModel(3)}, {});
  EXPECT_THROW(run_kernel(CpuKernelTable(1), leaf, {}), Error);
  EXPECT_THROW(CpuKernelTable(0), Error);
}

}  // namespace
}  // namespace synthesizer
