#include "dist/reshard.h"

#include "core/base/error.h"
#include "core/ops/collectives.h"
#include "core/ops/shape.h"

namespace synthesizer {
namespace {

using Kind = Placement::Kind;

constexpr double kLocalWork = 1e-3;  // of a byte on the wire
// What was split is not gathered while there is any other way: it would undo the layout, and every rank would do all
// the work that follows.
constexpr double kLastResort = 1e6;

Value append(Value local, std::shared_ptr<const Op> op) {
  return local.graph().add_one(std::move(op), std::vector<Value>{local}, local.node().name + "/reshard");
}

Value local_slice(Value whole, const std::string& dim, const AxisIndex& axis) {
  const int64_t size = whole.shape().size(dim) / axis.size;
  return append(whole, std::make_shared<Slice>(dim, axis.index * size, size));
}

}  // namespace

std::optional<double> reshard_cost(const Placement& from, const Placement& to, int64_t bytes, const AxisIndex& axis) {
  if (from == to) return 0;
  const double block =
      static_cast<double>(bytes) * (axis.size - 1) / axis.size;  // what a ring sends a rank in one round
  const double local = kLocalWork * static_cast<double>(bytes);
  switch (from.kind) {
    case Kind::kWhole:
      return to.kind == Kind::kPartialMax ? 0 : local;
    case Kind::kSplit:
      if (to.kind == Kind::kWhole) return kLastResort * block;
      if (to.kind == Kind::kSplit) return block / axis.size;
      return std::nullopt;
    case Kind::kPartialSum:
      if (to.kind == Kind::kWhole) return 2 * block;
      if (to.kind == Kind::kSplit) return block;
      return std::nullopt;
    case Kind::kPartialMax:
      if (to.kind == Kind::kWhole) return 2 * block;
      return std::nullopt;
  }
  fail("unknown placement {}", static_cast<int>(from.kind));
}

Value reshard(Value local, const Placement& from, const Placement& to, const AxisIndex& axis, Wire wire) {
  if (from == to) return local;
  switch (from.kind) {
    case Kind::kWhole:
      if (to.kind == Kind::kSplit) return local_slice(local, to.dim, axis);
      if (to.kind == Kind::kPartialMax) return local;
      return append(local, std::make_shared<KeepOnFirst>(axis));
    case Kind::kSplit:
      if (to.kind == Kind::kWhole) return append(local, std::make_shared<AllGather>(axis.axis, axis.size, from.dim));
      if (to.kind == Kind::kSplit)
        return append(local, std::make_shared<AllToAll>(axis.axis, axis.size, from.dim, to.dim));
      break;
    case Kind::kPartialSum:
      if (to.kind == Kind::kWhole)
        return append(local, std::make_shared<AllReduce>(axis.axis, Reduction::kSum, 1, wire));
      if (to.kind == Kind::kSplit)
        return append(local, std::make_shared<ReduceScatter>(axis.axis, axis.size, to.dim, wire));
      break;
    case Kind::kPartialMax:
      if (to.kind == Kind::kWhole) return append(local, std::make_shared<AllReduce>(axis.axis, Reduction::kMax));
      break;
  }
  fail("[{}] no way from {} to {}", local.node().name, from.to_string(), to.to_string());
}

}  // namespace synthesizer
