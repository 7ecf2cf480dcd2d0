// The plan against what a run allocates and sends, counted by others than the planner: the programs that run, and
// communicators that count their calls.
#include "dist/plan.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/graph/report.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "dist/parallel.h"
#include "tests/dist/layout_run.h"

namespace synthesizer {
namespace {

constexpr Collective kMoving[] = {Collective::kAllReduce, Collective::kReduceScatter, Collective::kAllGather,
                                  Collective::kAllToAll};
constexpr Mesh2d kMeshes[] = {{1, 2},
                              {2, 2},
                              {4, 2},
                              {2, 1, /*micro_batches=*/2},
                              {4, 2, 1, /*zero=*/1},
                              {2, 2, 2, /*zero=*/2},
                              {1, 2, 1, 0, /*leaves=*/4},
                              {2, 1, 1, 2, /*leaves=*/4}};

MeshShape shape_of(Mesh2d mesh) { return {.axes = {{"data", mesh.data}, {"tensor", mesh.tensor}}}; }

std::vector<LayoutSetting> settings() {
  std::vector<LayoutSetting> all = each_attention();
  all.push_back({"mixtures", "R+V", "D+FR"});
  all.push_back({"adamw", "R+V", "D", Structure::kEncoderDecoder, OptimizerKind::kAdamW, 0.1});
  all.push_back({"bf16", "R+V", "D", Structure::kEncoderDecoder, OptimizerKind::kAdafactor, 0.1, nullptr, true});
  all.push_back({"bf16_adamw", "R+V", "D", Structure::kEncoderDecoder, OptimizerKind::kAdamW, 0.1, nullptr, true});
  all.push_back({"decoder", "V", "R+V", Structure::kDecoder});
  all.push_back({"classifier", "FR", "V", Structure::kEncoderClassifier});
  return all;
}

class Plan : public testing::TestWithParam<LayoutSetting> {};

// Each rank of each mesh, on communicators that count what is asked of them.
TEST_P(Plan, IsWhatAStepAllocatesAndSends) {
  const StepGraphOptions whole = layout_options(GetParam(), DType::kFloat32);
  const CpuKernelTable kernels(1);
  for (const Mesh2d shape : kMeshes) {
    std::vector<StepPlan> plans;
    for (const int rank : {0, shape.data * shape.tensor - 1}) {
      SCOPED_TRACE(fmt::format("{}, rank {}", text(shape), rank));
      const Mesh mesh = Mesh::fake(shape_of(shape), rank);
      const StepGraphOptions options = options_on(shape, whole);
      TrainStep step(training_graphs(options, partition_for(mesh, default_layout(), partition_on(shape))),
                     options.optimizer, kernels, axis_communicators(mesh));
      const StepPlan plan = plan_step(step.graphs(), kernels, mesh.shape());
      plans.push_back(plan);
      EXPECT_EQ(plan.state(), step.state().bytes());
      EXPECT_EQ(plan.arena, step.program().arena_bytes());
      EXPECT_LE(plan.peak.total(), plan.arena);
      EXPECT_GT(plan.peak.total(), plan.arena / 2);

      step.state().initialize(1);
      RankRun run{mesh, options, step, {}};
      run.train(0, 1);
      for (const auto& [axis, size] : mesh.shape().axes)
        for (const Collective kind : kMoving) {
          Traffic planned;
          for (const CollectiveTotal& total : plan.collectives)
            if (total.axis == axis && total.kind == kind) planned = total.traffic;
          EXPECT_EQ(planned, dynamic_cast<const FakeCommunicator&>(mesh.axis(axis)).traffic(kind))
              << to_string(kind) << " along " << axis << ": " << planned.calls << " calls, " << planned.bytes
              << " bytes";
        }
    }
    // What plan says of rank 0 holds for all.
    EXPECT_EQ(plans[0].state(), plans[1].state()) << text(shape);
    EXPECT_EQ(plans[0].arena, plans[1].arena) << text(shape);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Plan, testing::ValuesIn(settings()), [](const auto& info) { return info.param.name; });

TEST(OutsideOfAGpu, HasCommunicatorsWhereThereAreRanks) {
  const auto named = [](const MeshShape& mesh, std::string_view start) {
    int64_t bytes = 0;
    for (const OutsideBytes& outside : outside_of_gpu(mesh))
      if (outside.what.starts_with(start)) bytes += outside.bytes;
    return bytes;
  };
  const MeshShape one{{{"data", 1}, {"tensor", 1}}}, data{{{"data", 4}, {"tensor", 1}}},
      both{{{"data", 2}, {"tensor", 2}}};
  EXPECT_EQ(outside_of_gpu(one).size(), 1u);
  EXPECT_GT(named(one, "CUDA"), 0);
  EXPECT_EQ(named(data, "CUDA"), named(one, "CUDA"));
  EXPECT_EQ(2 * named(both, "NCCL"), 3 * named(data, "NCCL"));  // of all ranks and of each axis
}

TEST(PlanOfAModel, CountsTheOperationsThatItsNodesCount) {
  const StepGraphOptions options = layout_options({"", "R+V", "D"}, DType::kFloat32);
  const auto graph = training_graph(options, nullptr);
  const StepPlan plan = plan_step(*graph, CpuKernelTable(1), shape_of({1, 1}));
  int64_t all = 0, planned = 0;
  for (const NodeReport& node : report_nodes(*graph, {})) all += node.flops;
  for (const auto& [op, flops] : plan.flops) planned += flops;
  EXPECT_EQ(planned, all);
  EXPECT_GT(plan.flops.at("einsum"), all / 2);
  EXPECT_TRUE(plan.collectives.empty());
}

}  // namespace
}  // namespace synthesizer
