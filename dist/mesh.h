// The mesh: ranks arranged in named axes, and the communicator of each axis. The last axis varies fastest with the
// rank, so that tensor-parallel ranks are neighbours, on one host where possible.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/communicator.h"
#include "core/graph/layout.h"

namespace synthesizer {

// A rank's index on each axis, and back.
std::vector<int> mesh_coordinates(const MeshShape& shape, int rank);
int mesh_rank(const MeshShape& shape, const std::vector<int>& coordinates);

// "data=4 tensor=2"
std::string to_string(const MeshShape& shape);

// The axis whose size is 0, if there is one, gets what the others leave of `ranks`. Throws UsageError if the sizes do
// not multiply to `ranks` then, if one is negative, or if a name is empty or there twice.
MeshShape complete_mesh(MeshShape shape, int ranks);

// One rank's view of the mesh.
class Mesh {
 public:
  // Collective over `world`, which must outlive the mesh. Throws UsageError as complete_mesh does.
  Mesh(const MeshShape& shape, Communicator& world);
  // For `plan`: rank `rank` of a mesh that is not there, on fake communicators. Sizes must be positive.
  static Mesh fake(const MeshShape& shape, int rank);

  const MeshShape& shape() const { return shape_; }
  Communicator& world() const { return *world_; }
  int rank() const { return world_->rank(); }
  // The ranks that differ from this one on `axis` alone, ordered by it. Throws Error for an axis that is not there.
  Communicator& axis(std::string_view axis) const { return *axes_[index(axis)]; }
  int coordinate(std::string_view axis) const { return coordinates_[index(axis)]; }
  // "[rank 3/8 data=1 tensor=1]", for messages.
  std::string describe() const;

 private:
  Mesh() = default;
  size_t index(std::string_view axis) const;

  MeshShape shape_;
  std::unique_ptr<Communicator> owned_world_;  // a fake mesh's
  Communicator* world_ = nullptr;
  std::vector<int> coordinates_;
  std::vector<std::unique_ptr<Communicator>> axes_;
};

}  // namespace synthesizer
