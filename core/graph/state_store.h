// The tensors that live between steps: parameters, fixed tensors and optimizer state of one rank, and what is derived
// of them; and those that live between the passes of one. In one allocation.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/graph.h"
#include "core/graph/leaf.h"
#include "core/tensor/storage.h"

namespace synthesizer {

struct StateTensor {
  std::string name;
  ValueType type;  // this rank's block
  Leaf::Kind kind = Leaf::Kind::kParameter;
  Initializer initializer;
  Block block;         // where it lies in the whole tensor
  std::string source;  // of what is derived
  int64_t offset = 0;
  const std::byte* data = nullptr;  // memory of the store's device
};

class StateStore {
 public:
  // One tensor for each persistent leaf of the (partitioned) training graph, allocated (on `device`; null: the host)
  // and zeroed.
  explicit StateStore(const Graph& graph, Device* device = nullptr);
  // Of the graphs of one step; a leaf that several have is one tensor.
  explicit StateStore(std::span<const std::unique_ptr<Graph>> graphs, Device* device = nullptr);

  // A run's state, in name order: without what is derived of it, and without sums over a step's passes, which begin
  // anew with each.
  std::span<const StateTensor> tensors() const { return {tensors_.data(), state_}; }
  // What is derived of it, in name order.
  std::span<const StateTensor> derived() const { return {tensors_.data() + state_, lasting_ - state_}; }
  // Throws Error if there is none of this name.
  const StateTensor& at(std::string_view name) const;
  const StateTensor* find(std::string_view name) const;
  // Writes every tensor's initial values (core/base/random.h): the same on any number of ranks.
  void initialize(uint64_t seed);
  // The one way to write a run's state from outside of a step: `write` is called for each of tensors() with its memory,
  // or with a copy on the host that goes there afterwards, and may leave it as it is; then what is derived is made
  // anew.
  using Write = std::function<void(const StateTensor& tensor, std::byte* data)>;
  void write(const Write& write);
  // Its bytes: where they lie, or of a device's a copy in `space`.
  const std::byte* on_host(const StateTensor& tensor, std::vector<std::byte>& space) const;
  // For programs, which keep what is derived as it must be (core/graph/program.h).
  std::byte* address(const StateTensor& tensor) { return storage_.data() + tensor.offset; }
  int64_t bytes() const { return storage_.bytes(); }
  Device* device() const { return storage_.device(); }

 private:
  void add(const Graph& graph);
  void allocate(Device* device);
  void derive();

  std::vector<StateTensor> tensors_;  // of the run, then derived, then sums; each in name order
  size_t state_ = 0;                  // of the run
  size_t lasting_ = 0;                // with what is derived
  Storage storage_;
};

}  // namespace synthesizer
