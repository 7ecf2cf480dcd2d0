// Collectives of programs on a device, by NCCL and by the host's communicator, whose buffers are copies.
#include <cmath>

#include "core/graph/graph.h"
#include "core/graph/leaf.h"
#include "core/graph/program.h"
#include "core/kernels/cuda/cuda_kernels.h"
#include "core/ops/collectives.h"
#include "core/ops/elementwise.h"
#include "dist/mesh.h"
#include "dist/parallel.h"
#include "tests/core/kernels/cuda/cpu_products.h"
#include "tests/dist/nccl/nccl_ranks.h"

namespace synthesizer {
namespace {

constexpr int kSize = 4;

// Every collective along dims that are not the first, whose blocks are packed.
std::unique_ptr<Graph> make_graph() {
  auto graph = std::make_unique<Graph>();
  const Value x = input(*graph, "x", DType::kFloat32, Shape{kBatch(12), kModel(20)});
  const auto collective = [&](const char* name, const Value& in, std::shared_ptr<const Op> op) {
    const Value out = graph->add(std::move(op), {{in}})[0];
    graph->mark_output(name, out);
    return out;
  };
  collective("sum", relu(x), std::make_shared<AllReduce>("data", Reduction::kSum));
  collective("rounded", relu(x), std::make_shared<AllReduce>("data", Reduction::kSum, 1, Wire::kBFloat16));
  collective("max", x + x, std::make_shared<AllReduce>("data", Reduction::kMax));
  collective("scattered", x, std::make_shared<ReduceScatter>("data", kSize, "model"));
  collective("scattered_rounded", x, std::make_shared<ReduceScatter>("data", kSize, "model", Wire::kBFloat16));
  collective("gathered", x, std::make_shared<AllGather>("data", kSize, "model"));
  collective("crossed", x, std::make_shared<AllToAll>("data", kSize, "batch", "model"));
  return graph;
}

TEST_F(NcclTest, ProgramsHaveTheResultsOfTheHostsCommunicator) {
  run_nccl_ranks(kSize, {.ordered = true}, [](NcclRank& rank) {
    const MeshShape shape{{{"data", kSize}}};
    const Mesh host_mesh(shape, rank.host), device_mesh(shape, rank.nccl);
    const cuda::CpuProducts products(nullptr);
    cuda::CudaDevice other(0);  // of a device whose ranks are threads nothing is captured
    const cuda::CudaKernelTable kernels(rank.device, products), host_kernels(other, products);
    const auto host_graph = make_graph(), device_graph = make_graph();
    StateStore host_store(*host_graph, &other), device_store(*device_graph, &rank.device);
    Program by_host(*host_graph, host_kernels, axis_communicators(host_mesh), host_store);
    Program by_nccl(*device_graph, kernels, axis_communicators(device_mesh), device_store);
    for (int run = 0; run < 4; ++run) {
      for (Program* program : {&by_host, &by_nccl}) {
        const std::span<float> x = program->input<float>("x");
        for (size_t i = 0; i < x.size(); ++i)
          x[i] = std::sin(static_cast<float>(i * 31 + static_cast<size_t>(rank.host.rank() * 7 + run)));
        program->run();
      }
      for (const char* name : {"sum", "rounded", "max", "scattered", "scattered_rounded", "gathered", "crossed"}) {
        const std::span<const float> expected = by_host.output<float>(name), got = by_nccl.output<float>(name);
        ASSERT_EQ(got.size(), expected.size());
        EXPECT_EQ(std::memcmp(got.data(), expected.data(), got.size_bytes()), 0) << name << ", run " << run;
      }
    }
  });
}

}  // namespace
}  // namespace synthesizer
