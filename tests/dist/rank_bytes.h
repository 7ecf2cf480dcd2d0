// To the bit what ranks end a training with, to compare two ways of running the same step.
#pragma once

#include "tests/dist/layout_run.h"

namespace synthesizer {

// One of each that a step may be run on: data and tensor ranks, micro-batches, ZeRO, ordered sums, sums in bf16.
inline constexpr Mesh2d kVariousMeshes[] = {{2, 1},
                                            {1, 2},
                                            {2, 2, /*micro_batches=*/2},
                                            {2, 1, 1, /*zero=*/1},
                                            {2, 2, 2, /*zero=*/2},
                                            {2, 1, 1, 0, /*leaves=*/4},
                                            {2, 1, 1, 2, /*leaves=*/4},
                                            {2, 1, 1, 1, 0, 1, Wire::kBFloat16}};

// Tensors of the state by name; losses and norms of gradients under "".
using RankBytes = std::map<std::string, std::string>;

// By rank, after three steps; each rank is shown to `visit` before.
std::vector<RankBytes> train_bytes(const StepGraphOptions& options, const Mesh2d& mesh,
                                   const std::function<void(const RankRun&)>& visit);

void expect_same_bytes(const std::vector<RankBytes>& got, const std::vector<RankBytes>& expected);

}  // namespace synthesizer
