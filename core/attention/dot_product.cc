#include "core/attention/dot_product.h"

#include "core/attention/projections.h"
#include "core/ops/einsum.h"

namespace synthesizer {

Value DotProduct::alignment(const Scope& scope, const AttentionInput& in) const {
  const Value query = project_query(scope, config_, sizes_, in), key = project_key(scope, config_, sizes_, in);
  return einsum_to(query, key, {kBatch, kHeads, kLength, kMemoryLength});
}

}  // namespace synthesizer
