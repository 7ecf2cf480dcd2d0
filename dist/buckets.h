// The bucket pass: neighbouring all-reduces become one call on one block of memory, so that the network sees few large
// messages, each started as soon as its last gradient is there (Li et al., "PyTorch Distributed", VLDB 2020).
#pragma once

#include <memory>

#include "core/graph/graph.h"

namespace synthesizer {

inline constexpr int64_t kBucketBytes = int64_t{25} << 20;

// Sums over one axis, of one dtype and sent alike are joined in the order they become ready, until `bucket_bytes` are
// reached or one of them is needed. The updates of all parameters go side by side from one sum that they wait for to
// the next, so that those of all are few calls.
std::unique_ptr<Graph> bucket_all_reduces(const Graph& graph, int64_t bucket_bytes = kBucketBytes);

}  // namespace synthesizer
