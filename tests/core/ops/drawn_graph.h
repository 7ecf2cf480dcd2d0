// Graphs drawn at random, for passes that must change no bit, and how that is seen.
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

// Of nodes that can be chains and of some that cannot, over two index spaces. In bf16 nothing is updated.
void draw_graph(Graph& graph, uint32_t seed, DType dtype = DType::kFloat32);

// Two runs of each from the same values give the same results and leave the same behind, with 1 and 3 threads.
void expect_same_bits(Graph& before, Graph& after);

}  // namespace synthesizer
