#include "launch/plan/planning.h"

#include <algorithm>
#include <cmath>

#include "core/graph/report.h"
#include "dist/mesh.h"
#include "launch/assembly.h"
#include "launch/config/check.h"
#include "launch/rank_kernels.h"

namespace synthesizer {
namespace {

constexpr int64_t kLargestBatch = int64_t{1} << 24;  // that a configuration may have

// Bytes of a rank at this batch.
int64_t bytes_at(config::Run run, const MeshShape& shape, int64_t batch, int threads) {
  run.mutable_data()->set_batch(static_cast<int32_t>(batch));
  return plan_run(run, shape, std::nullopt, threads).bytes();
}

}  // namespace

Planned plan_run(const config::Run& run, const MeshShape& shape, const std::optional<DeviceRates>& device,
                 int threads) {
  const Mesh mesh = Mesh::fake(shape, 0);
  const StepGraphOptions graphs = graph_options(run, planned_vocabulary(run), mesh);
  const Partition partition = partition_of(run, mesh);
  const std::unique_ptr<KernelTable> kernels = planned_kernels(run, threads);
  Planned planned;
  planned.mesh = shape;
  planned.threads = threads;
  if (run.device() == config::Run::CUDA)
    planned.outside = outside_of_gpu(shape);
  else
    planned.buffers = buffers_of(shape);
  for (const auto& [axis, size] : shape.axes) planned.ranks *= size;
  planned.batch = run.data().batch();
  planned.rows = batch_rows(run, mesh).count();
  planned.steps = run.steps();
  const StepGraphs step = training_graphs(graphs, partition);
  planned.parameters = count_parameters(step.update());
  planned.tokens = run.data().batch() * (int64_t{run.data().input_length()} + run.data().target_length());
  planned.step = plan_step(step, *kernels, shape);
  for (const size_t graph : step.order) {
    planned.product_flops += product_flops(*step.graphs[graph]);
    planned.recomputed_flops += recomputed_flops(*step.graphs[graph]);
  }
  planned.evaluation = plan_step(*evaluation_graph(graphs, partition), *kernels, shape).arena;
  planned.device = device;
  if (device) planned.time = time_step(step, shape, *device);
  return planned;
}

// Rows that a batch must be a multiple of.
int64_t batch_unit(const config::Run& run, const Planned& planned) {
  if (run.parallel().reduction() == config::Parallel::ORDERED) return run.parallel().leaves();
  return planned.batch / planned.rows * run.parallel().microbatches();
}

// Bytes grow with the batch, nearly along a line: each guess is where the line through the two ends meets what is
// there, and the ends close in on the answer.
int64_t largest_batch(const config::Run& run, const Planned& planned) {
  const int64_t unit = batch_unit(run, planned), most = kLargestBatch / unit;
  const auto bytes = [&](int64_t rows) { return bytes_at(run, planned.mesh, rows * unit, planned.threads); };
  const int64_t available = planned.available();
  const int64_t now = planned.batch / unit;
  int64_t fits = 0, bytes_fit = 0, over = 0, bytes_over = 0;  // in units
  const auto look = [&](int64_t rows, int64_t needed) {
    if (needed <= available) {
      fits = rows;
      bytes_fit = needed;
    } else {
      over = rows;
      bytes_over = needed;
    }
  };
  if (const int64_t one = bytes(1); one > available)
    return 0;
  else
    look(1, one);
  if (now > 1) look(now, planned.bytes());
  while (over == 0 && fits < most) look(std::min(most, fits * 2), bytes(std::min(most, fits * 2)));
  int guesses = 0;
  while (over != 0 && over - fits > 1) {
    const double share = static_cast<double>(available - bytes_fit) / static_cast<double>(bytes_over - bytes_fit);
    const auto step = static_cast<int64_t>(share * static_cast<double>(over - fits));
    // Every third guess is the middle: a line that misleads costs little.
    const int64_t guess = fits + std::clamp<int64_t>(guesses % 3 == 2 ? (over - fits) / 2 : step, 1, over - fits - 1);
    look(guess, bytes(guess));
    if (guess == fits && over - fits > 1 && guesses % 3 != 2) look(fits + 1, bytes(fits + 1));
    ++guesses;
  }
  return fits * unit;
}

config::Run with_mesh(config::Run run, const MeshShape& mesh) {
  run.mutable_parallel()->mutable_mesh()->set_data(mesh.size("data"));
  run.mutable_parallel()->mutable_mesh()->set_tensor(mesh.size("tensor"));
  return run;
}

}  // namespace synthesizer
