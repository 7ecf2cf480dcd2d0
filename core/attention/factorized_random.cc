#include "core/attention/factorized_random.h"

#include "core/ops/einsum.h"

namespace synthesizer {

Value FactorizedRandom::alignment(const Scope& scope, const AttentionInput& in) const {
  const int64_t heads = sizes_.num_heads, positions = config_.max_length, rank = config_.factor_rank;
  const Initializer initial = random_factor(config_.random_init, heads, positions, rank);
  const Value rows = scope.parameter("fr.rows", {kHeads(heads), kPosition(positions), kRank(rank)}, initial);
  const Value columns =
      scope.parameter("fr.columns", {kHeads(heads), kMemoryPosition(positions), kRank(rank)}, initial);
  return einsum_to(weighted(leading(rows, kPosition, kLength, in.length()), in),
                   leading(columns, kMemoryPosition, kMemoryLength, in.memory_length()),
                   {kHeads, kLength, kMemoryLength});
}

}  // namespace synthesizer
