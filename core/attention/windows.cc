#include "core/attention/windows.h"

#include "core/ops/cast.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape.h"
#include "core/ops/window.h"

namespace synthesizer {
namespace {

// [batch, length, window]: 1 where the place is of the query's document, else 0. What lies outside of the row is 0, the
// number of no document but the padding's.
Value same_document(const AttentionInput& in, const Dim& window, int64_t before) {
  const Value own = cast(in.segments, compute_type(in.x.dtype()));  // bf16 counts to 256 only
  return relu(affine(square(unfold(own, kLength, window, before) - own), -1, 1));
}

}  // namespace

Value windows(const AttentionInput& in, int64_t width) {
  const int64_t before = window_before(width, in.causal);
  const Value seen = unfold(live(in.x, in), kLength, kWindow(width), before);
  return in.segments ? seen * same_document(in, kWindow(width), before) : seen;
}

Value live(Value x, const AttentionInput& in) {
  if (!in.key_mask || in.causal || in.segments) return x;
  const bool of_queries = x.shape().has(kLength.name);
  return x * cast(of_queries ? rename(in.key_mask, kMemoryLength, kLength) : in.key_mask, x.dtype());
}

Value within_document(Value weights, const AttentionInput& in, int64_t before) {
  if (!in.segments) return weights;
  const std::vector<Dim>& dims = weights.shape().dims();
  const Shape each{kBatch(in.x.shape().size(kBatch.name)), kLength(in.length()), dims[dims.size() - 2], dims.back()};
  return (weights.shape() == each ? weights : broadcast(weights, each)) * same_document(in, dims.back(), before);
}

}  // namespace synthesizer
