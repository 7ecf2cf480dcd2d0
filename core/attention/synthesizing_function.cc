#include "core/attention/synthesizing_function.h"

#include "core/base/error.h"
#include "core/ops/cast.h"
#include "core/ops/elementwise.h"
#include "core/ops/shape.h"

namespace synthesizer {

Value weighted(Value x, const AttentionInput& in) { return in.weight ? x * in.weight : x; }

Value live(Value x, const AttentionInput& in) {
  if (!in.key_mask || in.causal) return x;
  const bool of_queries = x.shape().has(kLength.name);
  return x * cast(of_queries ? rename(in.key_mask, kMemoryLength, kLength) : in.key_mask, x.dtype());
}

void check_length(int64_t size, int64_t max_length) {
  if (size > max_length)
    fail_usage("[attention] the batch is longer than the model: got length {}, expected at most max_length {}", size,
               max_length);
}

Value leading(Value x, const std::string& position, const std::string& length, int64_t size) {
  check_length(size, x.shape().size(position));
  return truncate(x, position, length, size);
}

}  // namespace synthesizer
