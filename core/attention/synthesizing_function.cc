#include "core/attention/synthesizing_function.h"

#include "core/base/error.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/shape.h"

namespace synthesizer {
namespace {

Value leading(Value x, const std::string& dim, int64_t size) {
  const int64_t max_length = x.shape().size(dim);
  check_length(size, max_length);
  return size == max_length ? x : slice(x, dim, 0, size);
}

const std::string& last_dim(const Value& x) { return x.shape().dims().back().name; }

}  // namespace

void check_length(int64_t length, int64_t max_length) {
  if (length > max_length)
    fail_usage("[attention] the batch is longer than the model: got length {}, expected at most max_length {}", length,
               max_length);
}

Value Term::product() const {
  if (whole) return whole;
  // Rounded to bf16 they would be off by more than the softmax forgives.
  if (factors.kind() == PairKind::kOuter) {
    const std::string &first = last_dim(factors.queries), &second = last_dim(factors.keys);
    const Value all = wide_einsum_to(factors.queries, factors.keys, {kBatch, kHeads, kLength, first, second});
    return slice(merge(all, {first, second}, kMemoryLength), kMemoryLength, 0, all.shape().size(kLength.name));
  }
  const Value scores = wide_einsum_to(factors.queries, factors.keys, {kBatch, kHeads, kLength, kMemoryLength});
  return bias ? scores + bias : scores;
}

Value weighted(Value x, const AttentionInput& in) { return in.weight ? x * in.weight : x; }

Value leading_keys(Value x, const AttentionInput& in) { return leading(x, kMemoryPosition, in.memory_length()); }

Value at_queries(Value x, const AttentionInput& in) {
  return rename(leading(x, kPosition, in.length()), kPosition, kLength);
}

Value at_keys(Value x, const AttentionInput& in) { return rename(leading_keys(x, in), kMemoryPosition, kMemoryLength); }

}  // namespace synthesizer
