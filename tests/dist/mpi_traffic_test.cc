// Planned bytes against those that MPI is really given, counted between the program and MPI (mpi_counters.h): of each
// collective, and of the steps of several models on every mesh of the ranks there are. Run by mpirun on 2, 4 and 8
// ranks.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/kernels/cpu/cpu_kernels.h"
#include "dist/parallel.h"
#include "dist/plan.h"
#include "tests/dist/layout_run.h"
#include "tests/dist/mpi_counters.h"
#include "tests/dist/mpi_main.h"

namespace synthesizer {
namespace {

Communicator& world() { return mpi_test_environment().world(); }

int64_t sum_over(Communicator& ranks, int64_t value) {
  ranks.all_reduce(&value, 1, DType::kInt64, Reduction::kSum);
  return value;
}

// Hands everything on, and keeps the calls of each kind with the bytes that MPI was given meanwhile. Of all
// communicators of this rank only this one may be in use then.
class CountedCommunicator : public Communicator {
 public:
  explicit CountedCommunicator(Communicator& inner) : inner_(inner) {}
  const Traffic& traffic(Collective kind) const { return traffic_[static_cast<size_t>(kind)]; }

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  void all_reduce(void* data, int64_t count, DType dtype, Reduction reduction) override {
    counted(Collective::kAllReduce, [&] { inner_.all_reduce(data, count, dtype, reduction); });
  }
  void reduce_scatter(const void* in, void* out, int64_t count, DType dtype, Reduction reduction) override {
    counted(Collective::kReduceScatter, [&] { inner_.reduce_scatter(in, out, count, dtype, reduction); });
  }
  void all_reduce_rounded(float* data, int64_t count) override {
    counted(Collective::kAllReduce, [&] { inner_.all_reduce_rounded(data, count); });
  }
  void reduce_scatter_rounded(const float* in, float* out, int64_t count) override {
    counted(Collective::kReduceScatter, [&] { inner_.reduce_scatter_rounded(in, out, count); });
  }
  void all_gather(const void* in, void* out, int64_t count, DType dtype) override {
    counted(Collective::kAllGather, [&] { inner_.all_gather(in, out, count, dtype); });
  }
  void all_to_all(const void* in, void* out, int64_t count, DType dtype) override {
    counted(Collective::kAllToAll, [&] { inner_.all_to_all(in, out, count, dtype); });
  }
  void broadcast(void* data, int64_t bytes, int root) override {
    counted(Collective::kBroadcast, [&] { inner_.broadcast(data, bytes, root); });
  }
  void barrier() override {
    counted(Collective::kBarrier, [&] { inner_.barrier(); });
  }
  std::unique_ptr<Communicator> split(int color, int key) override { return inner_.split(color, key); }

 private:
  template <typename Call>
  void counted(Collective kind, const Call& call) {
    const int64_t before = mpi_counters().bytes;
    call();
    Traffic& traffic = traffic_[static_cast<size_t>(kind)];
    ++traffic.calls;
    traffic.bytes += mpi_counters().bytes - before;
  }

  Communicator& inner_;
  std::array<Traffic, kCollectives> traffic_;
};

// ---- one call

// Elements around every change of way: nothing to share out, gathered, shared, more than one piece.
std::vector<int64_t> counts() {
  const int64_t pieces = world().size() > 4 ? 2 : 5;  // of 4-byte elements; eight ranks take much memory
  return {1, 5, 1023, 1024, 1025, 2047, 2048, 2049, 4096, 4097, 8192, 8193, 20'003, (pieces << 20) + 3};
}

TEST(MpiTraffic, OfEachCollectiveIsAsDefined) {
  const int size = world().size();
  for (const int64_t count : counts())
    for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
      SCOPED_TRACE(fmt::format("{} elements of {}", count, to_string(dtype)));
      const int64_t block = count * size_of(dtype);
      const auto bytes = static_cast<size_t>(block * size);
      std::vector<std::byte> in(bytes), out(bytes);
      CountedCommunicator counted(world());
      counted.all_reduce(in.data(), count, dtype, Reduction::kSum);
      counted.reduce_scatter(in.data(), out.data(), count, dtype, Reduction::kSum);
      counted.all_gather(in.data(), out.data(), count, dtype);
      counted.all_to_all(in.data(), out.data(), count, dtype);
      counted.broadcast(in.data(), block, size - 1);
      counted.barrier();
      for (size_t k = 0; k < kCollectives; ++k) {
        const auto kind = static_cast<Collective>(k);
        const Traffic traffic = counted.traffic(kind);
        EXPECT_EQ(traffic.calls, 1) << to_string(kind);
        // The mean over the ranks; with two ranks, and where nothing is cut into shares, of every rank.
        const int64_t defined = sent_bytes(kind, block, size);
        EXPECT_EQ(sum_over(world(), traffic.bytes) / size, defined) << to_string(kind);
        if (kind == Collective::kAllReduce) {
          EXPECT_LE(std::abs(traffic.bytes - defined), size == 2 ? 0 : (size - 2) * size_of(dtype));
        } else if (kind != Collective::kBroadcast) {
          EXPECT_EQ(traffic.bytes, defined) << to_string(kind);
        }
      }
    }
}

TEST(MpiTraffic, OfRoundedSumsIsHalf) {
  const int size = world().size();
  for (const int64_t count : counts()) {
    SCOPED_TRACE(fmt::format("{} elements", count));
    std::vector<float> in(static_cast<size_t>(count * size)), out(static_cast<size_t>(count));
    CountedCommunicator counted(world());
    counted.all_reduce_rounded(in.data(), count);
    counted.reduce_scatter_rounded(in.data(), out.data(), count);
    FakeCommunicator fake(world().rank(), size);
    fake.all_reduce_rounded(in.data(), count);
    fake.reduce_scatter_rounded(in.data(), out.data(), count);
    for (const Collective kind : {Collective::kAllReduce, Collective::kReduceScatter}) {
      const int64_t defined = sent_bytes(kind, 2 * count, size);
      EXPECT_EQ(fake.traffic(kind), (Traffic{1, defined})) << to_string(kind);
      EXPECT_EQ(sum_over(world(), counted.traffic(kind).bytes) / size, defined) << to_string(kind);
    }
    EXPECT_EQ(counted.traffic(Collective::kReduceScatter).bytes,
              sent_bytes(Collective::kReduceScatter, 2 * count, size));
  }
}

TEST(MpiTraffic, SmallReductionsAreGathered) {
  const int size = world().size();
  std::vector<float> data(static_cast<size_t>(kGatheredBytes / 4 / size + 1));
  const auto calls = [&](int64_t count) {
    const int64_t messages = mpi_counters().messages, gathers = mpi_counters().gathers;
    world().all_reduce(data.data(), count, DType::kFloat32, Reduction::kSum);
    return std::pair(mpi_counters().messages - messages, mpi_counters().gathers - gathers);
  };
  EXPECT_EQ(calls(1), std::pair(int64_t{0}, int64_t{1}));
  EXPECT_EQ(calls(kGatheredBytes / 4 / size), std::pair(int64_t{0}, int64_t{1}));
  EXPECT_EQ(calls(kGatheredBytes / 4 / size + 1), std::pair(int64_t{2} * (size - 1), int64_t{0}));
}

// ---- whole steps

// On eight ranks a few: the cores are fewer.
std::vector<LayoutSetting> settings() {
  if (world().size() == 8) return models_named({"V", "mixtures", "universal", "classifier"});
  std::vector<LayoutSetting> all = each_attention();
  for (LayoutSetting& model : models_named({"mixtures", "adamw", "decoder", "universal", "classifier"}))
    all.push_back(std::move(model));
  return all;
}

std::vector<Mesh2d> meshes() {
  constexpr Wire kBf16 = Wire::kBFloat16;
  if (world().size() == 2)
    return {{2, 1},
            {1, 2},
            {2, 1, 2, /*zero=*/2},
            {2, 1, 1, 0, /*leaves=*/4},
            {2, 1, 1, 0, 0, 1, kBf16},
            {2, 1, 2, /*zero=*/2, 0, 1, kBf16}};
  if (world().size() == 4)
    return {{4, 1},
            {2, 2},
            {1, 4},
            {4, 1, 1, /*zero=*/1},
            {2, 2, 2, /*zero=*/2},
            {2, 2, 1, 0, /*leaves=*/4},
            {4, 1, 1, 0, 0, 1, kBf16},
            {2, 2, 1, /*zero=*/1, 0, 1, kBf16}};
  return {{8, 1}, {4, 2}, {2, 4}, {8, 1, 1, /*zero=*/1}, {8, 1, 1, /*zero=*/1, 0, 1, kBf16}};
}

void check_step(const StepGraphOptions& whole, Mesh2d shape) {
  const StepGraphOptions options = options_on(shape, whole);
  const Mesh mesh({.axes = {{"data", shape.data}, {"tensor", shape.tensor}}}, world());
  CountedCommunicator data(mesh.axis("data")), tensor(mesh.axis("tensor"));
  const std::map<std::string, const CountedCommunicator*> counted = {{"data", &data}, {"tensor", &tensor}};
  AxisCommunicators communicators;
  if (shape.data > 1) communicators["data"] = &data;
  if (shape.tensor > 1) communicators["tensor"] = &tensor;
  const CpuKernelTable kernels(1);
  TrainStep step(training_graphs(options, partition_for(mesh, default_layout(), partition_on(shape))),
                 options.optimizer, kernels, communicators);
  step.state().initialize(options.seed);
  const StepPlan plan = plan_step(step.graphs(), kernels, mesh.shape());

  const int64_t before = mpi_counters().bytes;
  RankRun run{mesh, options, step, {}};
  run.train(0, 1);
  const int64_t sent = mpi_counters().bytes - before;

  int64_t planned_in_all = 0;
  for (const auto& [axis, ranks] : mesh.shape().axes)
    for (size_t k = 0; k < kCollectives; ++k) {
      const auto kind = static_cast<Collective>(k);
      Traffic planned;
      for (const CollectiveTotal& total : plan.collectives)
        if (total.axis == axis && total.kind == kind) planned = total.traffic;
      const Traffic& real = counted.at(axis)->traffic(kind);
      planned_in_all += planned.bytes;
      EXPECT_EQ(real.calls, planned.calls) << to_string(kind) << " along " << axis;
      // Of all ranks of the axis together, and of each where there are no more than two.
      EXPECT_EQ(sum_over(mesh.axis(axis), real.bytes), planned.bytes * ranks) << to_string(kind) << " along " << axis;
      if (ranks <= 2) {
        EXPECT_EQ(real.bytes, planned.bytes) << to_string(kind) << " along " << axis;
      }
    }
  EXPECT_GT(sent, 0);
  EXPECT_EQ(sum_over(world(), sent), planned_in_all * world().size()) << "something else was sent in the step";
}

class MpiStepTraffic : public testing::TestWithParam<LayoutSetting> {};

TEST_P(MpiStepTraffic, IsAsPlannedToTheByte) {
  StepGraphOptions options = layout_options(GetParam(), DType::kFloat32);
  options.shape.batch = std::max<int64_t>(options.shape.batch, world().size());
  for (const Mesh2d shape : meshes()) {
    SCOPED_TRACE(text(shape));
    check_step(options, shape);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, MpiStepTraffic, testing::ValuesIn(settings()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace synthesizer
