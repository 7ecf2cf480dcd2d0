#include "dist/plan.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/graph/memory_plan.h"
#include "core/graph/schedule.h"
#include "core/ops/collectives.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

// Of leaves that are not in `counted` yet.
void add_state(const Graph& graph, std::set<std::string>& counted, StepPlan& plan) {
  for (const Node& node : graph.nodes()) {
    const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
    if (leaf == nullptr || !leaf->persistent() || !counted.insert(node.name).second) continue;
    const int64_t bytes = align_up(node.outputs[0].bytes());
    if (leaf->kind() == Leaf::Kind::kParameter) plan.parameters += bytes;
    if (leaf->kind() == Leaf::Kind::kFixed) plan.fixed += bytes;
    if (leaf->kind() == Leaf::Kind::kState) plan.optimizer += bytes;
    if (leaf->kind() == Leaf::Kind::kGathered) plan.sums += bytes;
    if (leaf->kind() == Leaf::Kind::kDerived) plan.copies += bytes;
  }
}

// The schedule position at which the blocks in use are largest, the first on a tie.
int peak_position(const MemoryPlan& memory, size_t positions) {
  std::vector<int64_t> change(positions + 2);
  for (const PlannedBlock& block : memory.blocks) {
    change[static_cast<size_t>(block.first)] += block.bytes;
    change[std::min(static_cast<size_t>(block.last) + 1, positions + 1)] -= block.bytes;
  }
  int64_t now = 0, most = -1;
  int peak = 0;
  for (size_t p = 0; p < positions; ++p) {
    now += change[p];
    if (now <= most) continue;
    most = now;
    peak = static_cast<int>(p);
  }
  return peak;
}

// What a block is: one that holds a gradient in its life counts as one.
int64_t& part_of(const Graph& graph, const PlannedBlock& block, ArenaPeak& peak) {
  if (block.values.empty()) return peak.workspace;
  for (const ValueRef& ref : block.values) {
    const Node& node = graph.node(ref.node);
    if (const auto* leaf = dynamic_cast<const Leaf*>(node.op.get()); leaf != nullptr && !leaf->persistent())
      return peak.inputs;
    if (node.name.starts_with("gradient.")) return peak.gradients;
  }
  return peak.activations;
}

void add_arena(const Graph& graph, const KernelTable& kernels, StepPlan& plan) {
  const Schedule order = schedule(graph);
  const MemoryPlan memory = plan_memory(graph, order, kernels);
  plan.arena = std::max(plan.arena, memory.arena_bytes);  // of several graphs the one with the highest peak
  if (order.order.empty()) return;
  const int position = peak_position(memory, order.order.size());
  const Node& node = graph.node(order.order[static_cast<size_t>(position)]);
  ArenaPeak peak;
  peak.op = node.op->name();
  peak.node = node.name;
  for (const PlannedBlock& block : memory.blocks)
    if (block.first <= position && position <= block.last) part_of(graph, block, peak) += block.bytes;
  if (peak.total() > plan.peak.total()) plan.peak = peak;
}

void add_calls(const CollectiveTotal& call, int64_t times, StepPlan& plan) {
  auto total = std::find_if(plan.collectives.begin(), plan.collectives.end(),
                            [&](const CollectiveTotal& of) { return of.kind == call.kind && of.axis == call.axis; });
  if (total == plan.collectives.end()) total = plan.collectives.insert(total, {call.kind, call.axis, call.ranks, {}});
  total->traffic.calls += times * call.traffic.calls;
  total->traffic.bytes += times * call.traffic.bytes;
}

// What a graph does, as often as a step runs it.
void add_work(const Graph& graph, int64_t times, const MeshShape& mesh, StepPlan& plan) {
  for (const Node& node : graph.nodes()) {
    if (node.op->collective()) add_calls(collective_of(graph, node, mesh), times, plan);
    if (const int64_t flops = node.op->cost(graph.input_types(node), node.outputs).flops; flops > 0)
      plan.flops[std::string(node.op->name())] += times * flops;
  }
}

CollectiveCall sum_call(Collective kind, const std::string& axis, int64_t bytes, Wire wire) {
  if (wire == Wire::kBFloat16) bytes = bytes / size_of(DType::kFloat32) * size_of(DType::kBFloat16);
  return {kind, axis, bytes, wire};
}

}  // namespace

CollectiveCall call_of(const Node& node, std::span<const ValueType> inputs) {
  if (const auto* op = dynamic_cast<const AllReduce*>(node.op.get())) {
    int64_t bytes = inputs.back().bytes();  // a bucket is one block, with what lies between its tensors
    for (const ValueType& type : inputs.first(inputs.size() - 1)) bytes += align_up(type.bytes());
    return sum_call(Collective::kAllReduce, op->axis(), bytes, op->wire());
  }
  if (const auto* op = dynamic_cast<const ReduceScatter*>(node.op.get()))
    return sum_call(Collective::kReduceScatter, op->axis(), node.outputs[0].bytes(), op->wire());
  if (const auto* op = dynamic_cast<const AllGather*>(node.op.get()))
    return {Collective::kAllGather, op->axis(), inputs[0].bytes()};
  if (const auto* op = dynamic_cast<const AllToAll*>(node.op.get()))
    return {Collective::kAllToAll, op->axis(), inputs[0].bytes() / op->size()};
  fail("[{} {}] is a collective that the plan does not know", node.op->name(), node.name);
}

std::string_view to_string(Collective collective) {
  switch (collective) {
    case Collective::kAllReduce:
      return "all_reduce";
    case Collective::kReduceScatter:
      return "reduce_scatter";
    case Collective::kAllGather:
      return "all_gather";
    case Collective::kAllToAll:
      return "all_to_all";
    case Collective::kBroadcast:
      return "broadcast";
    case Collective::kBarrier:
      return "barrier";
  }
  fail("unknown collective {}", static_cast<int>(collective));
}

CollectiveTotal collective_of(const Graph& graph, const Node& node, const MeshShape& mesh) {
  const CollectiveCall call = call_of(node, graph.input_types(node));
  int ranks = 0;
  for (const auto& [axis, size] : mesh.axes)
    if (axis == call.axis) ranks = size;
  CHECK(ranks > 0, "a collective along {}, which the mesh has not", call.axis);
  return {call.kind, call.axis, ranks, {1, sent_bytes(call.kind, call.block_bytes, ranks)}};
}

int64_t buffers_of(const MeshShape& mesh) {
  int64_t bytes = align_up(communicator_bytes(mesh.size()));
  for (const auto& [axis, size] : mesh.axes) bytes += align_up(communicator_bytes(size));
  return bytes;
}

// Usual figures, not of these machines. NCCL has buffers for each of its channels and neighbours, from tens of MiB to
// hundreds; sums that are joined here have two halves of a piece (dist/nccl).
std::vector<OutsideBytes> outside_of_gpu(const MeshShape& mesh) {
  constexpr int64_t kContext = int64_t{512} << 20, kCommunicator = int64_t{32} << 20, kHalf = int64_t{16} << 20;
  std::vector<OutsideBytes> outside = {{"CUDA's context and code", kContext}};
  if (mesh.size() == 1) return outside;
  int64_t communicators = 1;  // of all ranks, from which those of the axes are split
  for (const auto& [axis, size] : mesh.axes) communicators += size > 1 ? 1 : 0;
  outside.push_back({fmt::format("NCCL's buffers of {} communicators", communicators), communicators * kCommunicator});
  outside.push_back({"sums joined between ranks", 2 * kHalf});
  return outside;
}

StepPlan plan_step(const StepGraphs& graphs, const KernelTable& kernels, const MeshShape& mesh) {
  StepPlan plan;
  std::set<std::string> counted;
  for (size_t i = 0; i < graphs.graphs.size(); ++i) {
    const Graph& graph = *graphs.graphs[i];
    add_state(graph, counted, plan);
    add_arena(graph, kernels, plan);
    add_work(graph, std::count(graphs.order.begin(), graphs.order.end(), i), mesh, plan);
  }
  return plan;
}

StepPlan plan_step(const Graph& graph, const KernelTable& kernels, const MeshShape& mesh) {
  StepPlan plan;
  std::set<std::string> counted;
  add_state(graph, counted, plan);
  add_arena(graph, kernels, plan);
  add_work(graph, 1, mesh, plan);
  return plan;
}

}  // namespace synthesizer
