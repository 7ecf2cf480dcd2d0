// From a mesh and a layout to what a Program needs: each rank's graph, and the communicators its collectives use.
#pragma once

#include <functional>
#include <memory>

#include "core/graph/kernel.h"
#include "core/graph/layout.h"
#include "core/graph/report.h"
#include "dist/buckets.h"
#include "dist/mesh.h"
#include "dist/partition.h"

namespace synthesizer {

// Of the axes with more than one rank. The mesh must outlive what uses them.
AxisCommunicators axis_communicators(const Mesh& mesh);

struct PartitionOptions {
  PlacementsByName* placements = nullptr;  // gets those of the last axis that moved a node
  int64_t bucket_bytes = kBucketBytes;
  UpdateSharding update;  // along the batch's axis
};

// Partitions a global graph for this rank along every axis with more than one rank, then joins its all-reduces into
// buckets. Copies what it needs of the mesh's shape.
std::function<std::unique_ptr<Graph>(const Graph&)> partition_for(const Mesh& mesh, const Layout& layout,
                                                                  const PartitionOptions& options = {});

}  // namespace synthesizer
