#include "core/train/nonfinite.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "core/graph/leaf.h"
#include "core/tensor/bfloat16.h"

namespace synthesizer {
namespace {

template <typename T>
double element(const void* data, int64_t index) {
  return static_cast<double>(widened(static_cast<const T*>(data)[index]));
}

template <typename T>
int64_t first_in(const void* data, int64_t count) {
  const T* values = static_cast<const T*>(data);
  for (int64_t i = 0; i < count; ++i)
    if (!std::isfinite(widened(values[i]))) return i;
  return -1;
}

// Index of the first element that is not finite, or -1.
int64_t first_nonfinite(DType dtype, const void* data, int64_t count) {
  if (dtype == DType::kFloat32) return first_in<float>(data, count);
  if (dtype == DType::kFloat64) return first_in<double>(data, count);
  if (dtype == DType::kBFloat16) return first_in<BFloat16>(data, count);
  return -1;
}

std::string element_text(DType dtype, const void* data, int64_t index) {
  const double found = dtype == DType::kFloat64    ? element<double>(data, index)
                       : dtype == DType::kBFloat16 ? element<BFloat16>(data, index)
                                                   : element<float>(data, index);
  return fmt::format("{} at element {}", std::isnan(found) ? "NaN" : found > 0 ? "infinity" : "-infinity", index);
}

// What the rank with the smallest (node, rank) has, on all ranks.
std::optional<NonFinite> first_of_all(const std::optional<NonFinite>& own, Communicator& world) {
  constexpr int64_t kNone = std::numeric_limits<int32_t>::max();
  const int64_t place = own ? own->node : kNone;
  int64_t key = -(place * world.size() + world.rank());
  world.all_reduce(&key, 1, DType::kInt64, Reduction::kMax);
  if (-key / world.size() == kNone) return std::nullopt;
  NonFinite first;
  first.node = static_cast<int>(-key / world.size());
  first.rank = static_cast<int>(-key % world.size());
  if (first.rank == world.rank()) first = *own;
  world.broadcast(&first.persistent, sizeof first.persistent, first.rank);
  auto length = static_cast<int64_t>(first.text.size());
  world.broadcast(&length, sizeof length, first.rank);
  first.text.resize(static_cast<size_t>(length));
  world.broadcast(first.text.data(), length, first.rank);
  return first;
}

}  // namespace

std::optional<NonFinite> find_nonfinite(Program& program, Communicator& world) {
  std::optional<NonFinite> found;
  program.run_visited([&](const Node& node, std::span<void* const> outputs) {
    if (found && found->node <= node.id) return;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const ValueType& type = node.outputs[i];
      const int64_t at = first_nonfinite(type.dtype, outputs[i], type.shape.elements());
      if (at < 0) continue;
      const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
      found = NonFinite{node.id, world.rank(), leaf != nullptr && leaf->persistent(),
                        fmt::format("{} ({}, {}) has {}", node.name, node.op->name(), type.shape.to_string(),
                                    element_text(type.dtype, outputs[i], at))};
      return;
    }
  });
  return first_of_all(found, world);
}

std::optional<NonFinite> find_nonfinite(const StateStore& store, Communicator& world) {
  std::optional<NonFinite> found;
  std::vector<std::byte> space;
  for (size_t i = 0; i < store.tensors().size() && !found; ++i) {
    const StateTensor& tensor = store.tensors()[i];
    const std::byte* data = store.on_host(tensor, space);
    const int64_t at = first_nonfinite(tensor.type.dtype, data, tensor.type.shape.elements());
    if (at >= 0)
      found = NonFinite{static_cast<int>(i), world.rank(), true,
                        fmt::format("{} {} has {}", tensor.name, tensor.type.shape.to_string(),
                                    element_text(tensor.type.dtype, data, at))};
  }
  return first_of_all(found, world);
}

}  // namespace synthesizer
