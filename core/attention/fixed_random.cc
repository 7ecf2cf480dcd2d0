#include "core/attention/fixed_random.h"

namespace synthesizer {

Value FixedRandom::alignment(const Scope& scope, const AttentionInput& in) const {
  const int64_t heads = sizes_.num_heads, positions = config_.max_length;
  const Value logits = scope.fixed("fix.logits", {kHeads(heads), kPosition(positions), kMemoryPosition(positions)},
                                   random_alignment(config_.random_init, heads, positions));
  const Value rows = leading(logits, kPosition, kLength, in.length());
  return weighted(leading(rows, kMemoryPosition, kMemoryLength, in.memory_length()), in);
}

}  // namespace synthesizer
