// A graph made ready to run on one rank: kernels prepared, memory planned, communication on a lane of its own.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/graph.h"
#include "core/graph/kernel.h"
#include "core/graph/memory_plan.h"
#include "core/graph/schedule.h"
#include "core/graph/state_store.h"
#include "core/graph/timeline.h"
#include "core/tensor/storage.h"

namespace synthesizer {

class Lane;
class Replay;
class Staging;

// The graph must outlive the program. run() allocates no memory.
class Program {
 public:
  // `store` has every persistent leaf of the graph. A graph that updates a tensor updates what the store has derived of
  // it too; another one is refused. Several programs may share one store; they run one at a time. They
  // may share an `arena` too, of at least arena_needed() of each: a program's inputs and outputs are
  // then those of the one that was written or run last. Without one the program has its own.
  Program(Graph& graph, const KernelTable& kernels, const AxisCommunicators& communicators, StateStore& store,
          Storage* arena = nullptr);
  ~Program();
  static int64_t arena_needed(const Graph& graph, const KernelTable& kernels);

  // Runs the step once: inputs as they are now, outputs valid until the next run.
  void run();
  // The same, node after node, collectives too, so slower: `visit` sees every leaf as the step finds it (but sums that
  // are still of the step before), then every
  // node right after it ran, with its outputs: where they lie, or of a device's copies on the host. Views are left out.
  // `visit` must not be collective.
  using Visitor = std::function<void(const Node& node, std::span<void* const> outputs)>;
  void run_visited(const Visitor& visit);
  // The same without leaves and outputs: each node's kernel is for `run` to give to the device (`once`), as often as it
  // likes; other nodes then see what the last one left.
  using Runner = std::function<void(const Node& node, const std::function<void()>& once)>;
  void run_each(const Runner& run);

  // What a run does, in the order in which the program's thread comes to it.
  const std::vector<TimelineSlot>& slots() const { return slots_; }
  // From the next run() on, its times are added to `timeline`, which was made of slots() and outlives those runs; null:
  // no more. Between runs only. On a device each kernel is then waited for.
  void record(Timeline* timeline);

  // Memory of an input to write, or of an output (named by mark_output) to read, on the host. Of a program on a device
  // an input is asked for before each run that it is written for, and an output waits for the run. Throws Error for an
  // unknown name, or if T is not its type.
  template <typename T>
  std::span<T> input(std::string_view name) {
    const ValueRef ref = input_ref(name);
    return typed<T>(ref, input_memory(ref));
  }
  template <typename T>
  std::span<const T> output(std::string_view name) {
    const ValueRef ref = output_ref(name);
    return typed<const T>(ref, output_memory(ref));
  }
  bool has_input(std::string_view name) const { return inputs_.contains(name); }
  const ValueType& input_type(std::string_view name) const { return graph_.type(input_ref(name)); }
  const ValueType& output_type(std::string_view name) const { return graph_.type(output_ref(name)); }

  const Graph& graph() const { return graph_; }
  const MemoryPlan& memory() const { return memory_; }
  const Schedule& order() const { return schedule_; }
  // Bytes of the arena really allocated.
  int64_t arena_bytes() const { return arena_->bytes(); }

 private:
  struct Step;
  ValueRef input_ref(std::string_view name) const;
  ValueRef output_ref(std::string_view name) const;
  std::byte* address(ValueRef ref) const;
  std::byte* input_memory(ValueRef ref);
  const std::byte* output_memory(ValueRef ref);
  void check_derived() const;
  void prepare(const KernelTable& kernels, const AxisCommunicators& communicators);
  void make_staging();
  void run_steps();
  void run_each_step(const Runner& run);
  size_t add_slot(TimelineSlot::Kind kind, const Node* node);
  // Does it; with its times where they are recorded.
  template <typename Action>
  void timed(size_t slot, const Action& action);

  template <typename T, typename Byte>
  std::span<T> typed(ValueRef ref, Byte* memory) {
    const ValueType& type = graph_.type(ref);
    check_type(type.dtype, kDTypeOf<std::remove_const_t<T>>);
    return {reinterpret_cast<T*>(memory), static_cast<size_t>(type.shape.elements())};
  }
  static void check_type(DType is, DType wanted);

  Graph& graph_;
  StateStore& store_;
  std::map<std::string, ValueRef, std::less<>> inputs_, outputs_;
  Schedule schedule_;
  MemoryPlan memory_;
  Storage own_arena_;
  Storage* arena_;
  std::vector<Step> steps_;
  std::vector<TimelineSlot> slots_;
  size_t last_wait_ = 0;  // slot of
  Timeline* timeline_ = nullptr;
  TimeSpan* spans_ = nullptr;  // of the run that is under way, if it is recorded
  std::unique_ptr<Lane> lane_;
  // Of a program on a device.
  Device* device_;
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<Replay> replay_;
};

}  // namespace synthesizer
