// What a rank of a mesh needs for a run and, on a device whose figures are known, how long it takes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "configs/schema/run.pb.h"
#include "core/graph/layout.h"
#include "dist/device_rates.h"
#include "dist/plan.h"
#include "dist/time.h"

namespace synthesizer {

struct Planned {
  MeshShape mesh;
  int64_t ranks = 1;
  int64_t batch = 0;       // rows of all ranks
  int64_t rows = 0;        // of one
  int64_t parameters = 0;  // of the whole model
  int64_t tokens = 0;      // of the global batch
  int64_t steps = 0;       // of the run
  StepPlan step;
  int64_t evaluation = 0;  // bytes of evaluation's own arena
  int64_t buffers = 0;     // bytes that its communicators have for what other ranks send; of a GPU's memory, none
  std::vector<OutsideBytes> outside;  // beside bytes(), of a GPU
  int threads = 1;                    // of a rank, each with workspace of its own
  int64_t product_flops = 0;
  int64_t recomputed_flops = 0;

  std::optional<DeviceRates> device;  // what follows is there only with one
  StepTime time;

  int64_t bytes() const { return step.state() + step.arena + evaluation + buffers; }
  int64_t available() const { return device->memory_bytes - device->reserved_bytes; }
  bool fits() const { return bytes() <= available(); }
  double tokens_per_second() const { return static_cast<double>(tokens) / time.step; }
  // Operations of matrix products a second, of the device's peak.
  double utilisation() const { return static_cast<double>(product_flops) / (time.step * device->products.peak); }
  double days() const { return static_cast<double>(steps) * time.step / 86400; }
  double rank_hours() const { return static_cast<double>(ranks * steps) * time.step / 3600; }
};

// `run` is checked, for as many ranks as the mesh has.
Planned plan_run(const config::Run& run, const MeshShape& mesh, const std::optional<DeviceRates>& device, int threads);

// The largest data.batch with which the run fits on its device, of those that the mesh can share out; 0: none. Found by
// planning it and the next one.
int64_t largest_batch(const config::Run& run, const Planned& planned);

// `run` with this mesh as its own.
config::Run with_mesh(config::Run run, const MeshShape& mesh);

}  // namespace synthesizer
