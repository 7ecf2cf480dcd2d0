#include "core/attention/attention.h"

#include <algorithm>

#include "core/attention/mixture.h"
#include "core/attention/projections.h"
#include "core/attention/table.h"
#include "core/base/error.h"
#include "core/ops/cast.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape.h"
#include "core/ops/shared_attention.h"
#include "core/ops/shared_product.h"
#include "core/ops/softmax.h"

namespace synthesizer {
namespace {

// The logits in sums: what all examples share, [heads, length, memory_length] or, where no query differs, [heads,
// memory_length]; what each has for itself, with batch in front; and what is not made because it is left in factors.
// Any of them may be none.
struct Logits {
  Value shared, own;
  std::vector<QueryKeyPair> factors;
};

// A sum with a term that is not in bf16 is not rounded to it.
void accumulate(Value& sum, Value term) {
  if (!sum) {
    sum = term;
    return;
  }
  if (sum.dtype() != term.dtype()) {
    sum = cast(sum, compute_type(sum.dtype()));
    term = cast(term, compute_type(term.dtype()));
  }
  sum = sum + term;
}

bool is_own(const Term& term) { return term.whole && term.whole.shape().has(kBatch.name); }

// Whether factors may stay factors: nothing else is of each example, and nobody has a use for the alignment itself.
bool stays_in_factors(const Scope& scope, const std::vector<Term>& parts, const AttentionTerms& terms) {
  return scope.context().fused && !drops_weights(scope) && terms.output.empty() &&
         std::none_of(parts.begin(), parts.end(), is_own);
}

Logits add_up(const Scope& scope, const std::vector<Term>& parts, const AttentionTerms& terms) {
  const bool factors = stays_in_factors(scope, parts, terms);
  Logits logits;
  for (const Term& part : parts) {
    if (part.whole) {
      accumulate(is_own(part) ? logits.own : logits.shared, part.whole);
    } else if (factors) {
      logits.factors.push_back(part.factors);
      if (part.bias) accumulate(logits.shared, part.bias);
    } else {
      accumulate(logits.own, part.product());
    }
  }
  if (terms.bias) accumulate(logits.shared, terms.bias);
  return logits;
}

std::vector<Term> synthesize(const Scope& scope, const AttentionConfig& config, const AttentionSizes& sizes,
                             AttentionInput in) {
  const std::vector<std::string> parts = attention_parts(config.kind);
  const std::vector<Value> weights = mixture_weights(scope, config, sizes.num_heads, parts.size());
  std::vector<Term> terms;
  for (size_t i = 0; i < parts.size(); ++i) {
    in.weight = weights[i];
    terms.push_back(synthesizing_function(parts[i], config, sizes)->alignment(scope, in));
  }
  return terms;
}

Value shown(const Scope& scope, Value alignment, const AttentionTerms& terms) {
  if (!terms.output.empty()) scope.graph().mark_output(terms.output, cast(alignment, scope.dtype()));
  return alignment;
}

// A mask of its own for every weight leaves nothing to share, nor do documents of a row; nor is there one alignment to
// look at where each example has its own masked keys.
bool is_shared(const Scope& scope, const AttentionTerms& terms) {
  return !drops_weights(scope) && !terms.segments && (terms.output.empty() || !terms.key_mask);
}

Value apply_alignment(const Scope& scope, Logits logits, Value values, const AttentionTerms& terms) {
  const std::string query = terms.causal ? kLength.name : std::string();
  const DimNames joined{kBatch, kLength, kHeads, kHead};
  values = drop_values(scope, values);
  if (!logits.factors.empty())
    return dot_attention(logits.factors, values, logits.shared,
                         {.key_mask = terms.key_mask, .segments = terms.segments, .causal = terms.causal});
  if (!logits.own && !is_shared(scope, terms)) {
    std::vector<Dim> dims = logits.shared.shape().dims();
    dims.insert(dims.begin(), kBatch(values.shape().size(kBatch.name)));
    logits = {.shared = {}, .own = broadcast(logits.shared, Shape(dims))};
  }
  if (logits.own) {
    const Value weights =
        shown(scope, softmax(logits.own, kMemoryLength, logits.shared, terms.key_mask, query, terms.segments), terms);
    return einsum_to(drop_weights(scope, weights), values, joined);
  }
  const Value weights = shown(scope, softmax(logits.shared, kMemoryLength, {}, {}, query), terms);
  if (terms.key_mask) return shared_attention(logits.shared, weights, values, terms.key_mask, terms.causal);
  return scope.context().fused ? shared_product(weights, values, terms.causal) : einsum_to(weights, values, joined);
}

Value attend(const Scope& scope, const AttentionConfig& config, const AttentionSizes& sizes, AttentionInput in,
             const AttentionTerms& terms) {
  in.values = project_values(scope, sizes, in.memory);
  const Logits logits = add_up(scope, synthesize(scope, config, sizes, in), terms);
  return join_heads(scope, sizes, apply_alignment(scope, logits, in.values, terms));
}

}  // namespace

Value self_attention(const Scope& scope, const AttentionConfig& config, const AttentionSizes& sizes, Value x,
                     const AttentionTerms& terms) {
  const AttentionInput in{.x = x,
                          .memory = rename(x, kLength, kMemoryLength),
                          .key_mask = terms.key_mask,
                          .segments = terms.segments,
                          .positions = terms.positions,
                          .causal = terms.causal};
  if (const auto alone = standalone_attention(config.kind, config, sizes)) return alone->attend(scope, in);
  return attend(scope, config, sizes, in, terms);
}

Value cross_attention(const Scope& scope, const AttentionSizes& sizes, bool scale, Value x, Value memory,
                      const AttentionTerms& terms) {
  CHECK(!terms.causal, "cross-attention is never causal");
  AttentionConfig config;
  config.scale = scale;
  return attend(scope, config, sizes, {.x = x, .memory = memory, .key_mask = terms.key_mask}, terms);
}

}  // namespace synthesizer
