#include "dist/mesh.h"

#include <set>

#include "core/base/error.h"
#include "dist/fake_communicator.h"

namespace synthesizer {
namespace {

// The rank with axis `axis` at 0: the same for the ranks of one axis communicator, different for others.
int line_of(const MeshShape& shape, std::vector<int> coordinates, size_t axis) {
  coordinates[axis] = 0;
  return mesh_rank(shape, coordinates);
}

}  // namespace

std::vector<int> mesh_coordinates(const MeshShape& shape, int rank) {
  CHECK(rank >= 0 && rank < shape.size(), "rank {} of mesh {}", rank, to_string(shape));
  std::vector<int> coordinates(shape.axes.size());
  for (size_t i = shape.axes.size(); i-- > 0;) {
    coordinates[i] = rank % shape.axes[i].second;
    rank /= shape.axes[i].second;
  }
  return coordinates;
}

int mesh_rank(const MeshShape& shape, const std::vector<int>& coordinates) {
  CHECK(coordinates.size() == shape.axes.size(), "{} coordinates for mesh {}", coordinates.size(), to_string(shape));
  int rank = 0;
  for (size_t i = 0; i < coordinates.size(); ++i) {
    const int size = shape.axes[i].second;
    CHECK(coordinates[i] >= 0 && coordinates[i] < size, "{} {} of {}", shape.axes[i].first, coordinates[i], size);
    rank = rank * size + coordinates[i];
  }
  return rank;
}

std::string to_string(const MeshShape& shape) {
  std::string text;
  for (const auto& [name, size] : shape.axes) text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, size);
  return text;
}

MeshShape complete_mesh(MeshShape shape, int ranks) {
  std::set<std::string> names;
  int64_t known = 1;
  int* open = nullptr;
  for (auto& [name, size] : shape.axes) {
    if (name.empty() || !names.insert(name).second)
      fail_usage("mesh {}: axis '{}' twice or empty", to_string(shape), name);
    if (size < 0) fail_usage("mesh: {} is {}, expected a positive number of ranks", name, size);
    if (size == 0 && open) fail_usage("mesh {}: only one axis can be left to the number of ranks", to_string(shape));
    if (size == 0) open = &size;
    if (size > 0) known *= size;
  }
  const std::string asked = to_string(shape);
  if (open && ranks % known == 0) *open = static_cast<int>(ranks / known);
  if (open ? ranks % known != 0 : known != ranks)
    fail_usage("mesh {}: got {} ranks, expected {}{}. Change mesh, or the number of ranks (mpirun -n)", asked, ranks,
               open ? "a multiple of " : "", known);
  return shape;
}

Mesh::Mesh(const MeshShape& shape, Communicator& world) : shape_(complete_mesh(shape, world.size())), world_(&world) {
  coordinates_ = mesh_coordinates(shape_, world.rank());
  for (size_t i = 0; i < shape_.axes.size(); ++i)
    axes_.push_back(world.split(line_of(shape_, coordinates_, i), coordinates_[i]));
}

Mesh Mesh::fake(const MeshShape& shape, int rank) {
  Mesh mesh;
  mesh.shape_ = complete_mesh(shape, shape.size());
  mesh.coordinates_ = mesh_coordinates(shape, rank);
  mesh.owned_world_ = std::make_unique<FakeCommunicator>(rank, shape.size());
  mesh.world_ = mesh.owned_world_.get();
  for (size_t i = 0; i < shape.axes.size(); ++i)
    mesh.axes_.push_back(std::make_unique<FakeCommunicator>(mesh.coordinates_[i], shape.axes[i].second));
  return mesh;
}

size_t Mesh::index(std::string_view axis) const {
  for (size_t i = 0; i < shape_.axes.size(); ++i)
    if (shape_.axes[i].first == axis) return i;
  fail("no axis {} in mesh {}", axis, to_string(shape_));
}

std::string Mesh::describe() const {
  std::string text = fmt::format("[rank {}/{}", rank(), world_->size());
  for (size_t i = 0; i < coordinates_.size(); ++i) text += fmt::format(" {}={}", shape_.axes[i].first, coordinates_[i]);
  return text + "]";
}

}  // namespace synthesizer
