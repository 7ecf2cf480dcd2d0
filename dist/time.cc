#include "dist/time.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/graph/schedule.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/dot_attention.h"
#include "core/ops/einsum.h"
#include "core/ops/shared_attention.h"
#include "core/ops/shared_product.h"
#include "dist/lanes.h"

namespace synthesizer {
namespace {

ProductSize einsum_size(const Shape& a, const Shape& b, const Shape& c) {
  ProductSize size{1, 1, 1};
  for (const Dim& dim : a.dims()) {
    if (!c.has(dim.name)) size.k *= static_cast<double>(dim.size);
    if (c.has(dim.name) && !b.has(dim.name)) size.m *= static_cast<double>(dim.size);
  }
  for (const Dim& dim : b.dims())
    if (c.has(dim.name) && !a.has(dim.name)) size.n *= static_cast<double>(dim.size);
  return size;
}

// x [rows…, model] with table [vocab, model]
ProductSize vocabulary_size(const Shape& x, const Shape& table) {
  const auto k = static_cast<double>(x.dims().back().size);
  return {static_cast<double>(x.elements()) / k, static_cast<double>(table.elements()) / k, k};
}

// Weights [heads, length, memory_length], the same for all examples, with values [batch, memory_length, heads, head].
ProductSize shared_size(const Shape& weights, const Shape& values) {
  const auto& dims = weights.dims();
  const auto m = static_cast<double>(dims[1].size), k = static_cast<double>(dims[2].size);
  return {m, static_cast<double>(values.elements()) / (k * static_cast<double>(dims[0].size)), k};
}

// Of an example's head: queries, keys, and what both products of forward contract or make, on average. Queries
// [batch, length, …, e], values [batch, memory_length, heads, head].
ProductSize attention_size(const DotAttentionOptions& options, std::span<const ValueType> inputs) {
  const auto& values = inputs[options.values()].shape.dims();
  double width = static_cast<double>(values[3].size);
  for (size_t p = 0; p < options.pairs(); ++p)
    if (options.kinds[p] != PairKind::kOuter) width += static_cast<double>(inputs[2 * p].shape.dims().back().size);
  return {static_cast<double>(inputs[0].shape.dims()[1].size), static_cast<double>(values[1].size), width / 2};
}

}  // namespace

ProductSize product_size(const Op& op, std::span<const ValueType> inputs, std::span<const ValueType> outputs) {
  if (dynamic_cast<const Einsum*>(&op) != nullptr)
    return einsum_size(inputs[0].shape, inputs[1].shape, outputs[0].shape);
  if (dynamic_cast<const LinearCrossEntropy*>(&op) != nullptr ||
      dynamic_cast<const LinearCrossEntropyGradient*>(&op) != nullptr)
    return vocabulary_size(inputs[0].shape, inputs[1].shape);
  if (dynamic_cast<const SharedAttention*>(&op) != nullptr ||
      dynamic_cast<const SharedAttentionGradient*>(&op) != nullptr)
    return shared_size(inputs[1].shape, inputs[2].shape);
  if (dynamic_cast<const SharedProduct*>(&op) != nullptr || dynamic_cast<const SharedProductGradient*>(&op) != nullptr)
    return shared_size(inputs[0].shape, inputs[1].shape);
  if (const auto* attention = dynamic_cast<const DotAttention*>(&op))
    return attention_size(attention->options(), inputs);
  if (const auto* gradient = dynamic_cast<const DotAttentionGradient*>(&op))
    return attention_size(gradient->options(), inputs);
  return {};
}

OpTime op_time(const Op& op, std::span<const ValueType> inputs, std::span<const ValueType> outputs,
               const DeviceRates& device) {
  const Cost cost = op.cost(inputs, outputs);
  const auto flops = static_cast<double>(cost.flops);
  const ProductSize size = product_size(op, inputs, outputs);
  OpTime time;
  time.compute = size.m > 0 ? device.products.seconds(flops, size.m, size.n, size.k) : flops / device.vector_flops;
  time.memory = static_cast<double>(cost.bytes) / device.memory_bandwidth;
  time.overhead = device.op_seconds;
  time.slowdown = device.slowdown_of(op.name());
  return time;
}

const LinkRate& link_of(const MeshShape& mesh, std::string_view axis, const DeviceRates& device) {
  int64_t extent = 1;  // neighbours on the axis and on those that vary faster, as ranks are counted
  for (size_t i = mesh.axes.size(); i-- > 0;) {
    extent *= mesh.axes[i].second;
    if (mesh.axes[i].first == axis) return device.ranks_per_host % extent == 0 ? device.inside : device.between;
  }
  fail("a collective along {}, which the mesh has not", axis);
}

double collective_seconds(Collective kind, int64_t block_bytes, int ranks, const LinkRate& link, CollectiveSteps steps,
                          Wire wire) {
  if (ranks < 2) return 0;
  const bool reduce = kind == Collective::kAllReduce;
  double phases = reduce ? 2 : 1;
  if (steps == CollectiveSteps::kTree) {
    const double share = static_cast<double>(ranks - 1) / ranks;
    const double bytes = reduce ? 2 * share * static_cast<double>(block_bytes)
                                : static_cast<double>(sent_bytes(kind, block_bytes, ranks));
    return phases * std::ceil(std::log2(ranks)) * link.latency + bytes / link.bandwidth;
  }
  const auto bytes = static_cast<double>(sent_bytes(kind, block_bytes, ranks));
  if (reduce && reduces_by_gathering(block_bytes, ranks)) phases = 1;
  const int64_t moved = reduce ? block_bytes : block_bytes * ranks;
  const int64_t piece = wire == Wire::kBFloat16 ? kRoundedPieceBytes : kPieceBytes;
  const auto pieces = static_cast<double>((moved + piece - 1) / piece);
  return pieces * phases * (ranks - 1) * link.latency + bytes / link.bandwidth;
}

std::string_view to_string(Bound bound) {
  switch (bound) {
    case Bound::kCompute:
      return "compute";
    case Bound::kMemory:
      return "memory";
    case Bound::kNetwork:
      return "network";
  }
  fail("unknown bound {}", static_cast<int>(bound));
}

Bound StepTime::bound() const {
  if (exposed > compute && exposed > memory) return Bound::kNetwork;
  return memory > compute ? Bound::kMemory : Bound::kCompute;
}

StepTime time_step(const Graph& graph, const MeshShape& mesh, const DeviceRates& device) {
  StepTime time;
  std::vector<LaneSlot> slots;
  const Schedule order = schedule(graph);
  for (size_t p = 0; p < order.order.size(); ++p) {
    const Node& node = graph.node(order.order[p]);
    LaneSlot& slot = slots.emplace_back();
    if (runs_nothing(node)) continue;
    const std::vector<ValueType> inputs = graph.input_types(node);
    if (node.op->collective()) {
      const CollectiveCall call = call_of(node, inputs);
      slot = {collective_seconds(call.kind, call.block_bytes, mesh.size(call.axis), link_of(mesh, call.axis, device),
                                 device.steps, call.wire),
              true, order.wait[p]};
    } else {
      const OpTime op = op_time(*node.op, inputs, node.outputs, device);
      (op.memory_bound() ? time.memory : time.compute) += op.busy();
      time.overhead += op.overhead;
      slot.seconds = op.seconds();
    }
    time.by_op[std::string(node.op->name())] += slot.seconds;
  }
  const LaneTimes lanes = run_lanes(slots, device.taken);
  time.step = lanes.step;
  time.communication = lanes.communication;
  time.exposed = lanes.exposed();
  return time;
}

StepTime time_step(const StepGraphs& graphs, const MeshShape& mesh, const DeviceRates& device) {
  StepTime all;
  for (const auto& graph : graphs.graphs) {
    const StepTime one = time_step(*graph, mesh, device);
    const auto index = static_cast<size_t>(&graph - graphs.graphs.data());
    const auto times = static_cast<double>(std::count(graphs.order.begin(), graphs.order.end(), index));
    all.step += times * one.step;
    all.compute += times * one.compute;
    all.memory += times * one.memory;
    all.overhead += times * one.overhead;
    all.communication += times * one.communication;
    all.exposed += times * one.exposed;
    for (const auto& [op, seconds] : one.by_op) all.by_op[op] += times * seconds;
  }
  return all;
}

}  // namespace synthesizer
