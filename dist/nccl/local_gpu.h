// Which GPU of its host a rank uses, and whether it has it alone.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "core/graph/communicator.h"
#include "dist/nccl/nccl_library.h"

namespace synthesizer {

// This rank's number among those of its host: what mpirun says (OMPI_COMM_WORLD_LOCAL_RANK), else srun (SLURM_LOCALID:
// mpirun's ranks have that of the job's script), else `otherwise`. Throws Error if that is not a number.
int local_rank(int otherwise);

// The local rank modulo the GPUs that this process sees: where the launcher shows each rank but its own, that is 0.
// Throws Error if there are none.
int gpu_of(int local_rank, int gpus);

// What tells a GPU from all others, of whatever host: its UUID.
using GpuId = std::array<char, 16>;
GpuId gpu_id(int gpu);

// Throws Error unless each rank of `gpus` (their ids, by rank) has its own, or NCCL can share one (2.30 or newer, with
// NCCL_MULTI_RANK_GPU_ENABLE set to another value than 0).
void require_own_gpus(std::span<const GpuId> gpus, int nccl_version);

}  // namespace synthesizer
