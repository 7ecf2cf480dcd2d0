#include "core/attention/attention.h"

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
#include "core/ops/take.h"

namespace synthesizer {
namespace {

// The logits in sums: what all examples share, [heads, length, memory_length] or, where no query differs, [heads,
// memory_length]; what each has for itself, with batch in front; and what is not made because it is left in factors.
// Any of them may be none.
struct Logits {
  Value shared, own;
  std::vector<QueryKeyPair> factors;
  bool by_blocks = false;    // nothing is of each example: core/ops/dot_attention.h makes of it what it needs
  bool by_position = false;  // what is shared is of places in a document
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

bool is_own(const Value& term) { return term.shape().has(kBatch.name); }

// Whether no score of an example is in memory: nobody has a use for the alignment itself, and something is gained. Of
// what the examples share, one alignment for all of them is cheaper, but of packed rows there is none; what is dear to
// make again is kept where nothing else would be saved.
bool goes_by_blocks(const Scope& scope, const std::vector<Term>& parts, const AttentionTerms& terms) {
  if (!scope.context().fused || drops_weights(scope) || !terms.output.empty()) return false;
  bool cheap = false, dear = false, own = false;
  for (const Term& part : parts) {
    cheap = cheap || (!part.whole && !part.dear);
    dear = dear || part.dear;
    own = own || (part.whole && is_own(part.whole));
  }
  return !own && (cheap || (terms.segments && !dear));
}

// A term where the tokens of packed rows are, each example its own.
Value placed(const Term& part, Value positions) {
  Value term = part.product();
  if (!positions || !part.by_position()) return term;
  if (!is_own(term)) term = take(term, kLength, positions);
  return take(term, kMemoryLength, rename(positions, kLength, kMemoryLength));
}

Logits add_up(const Scope& scope, const std::vector<Term>& parts, const AttentionTerms& terms) {
  Logits logits;
  logits.by_blocks = goes_by_blocks(scope, parts, terms);
  for (const Term& part : parts) {
    if (!logits.by_blocks) {
      const Value term = placed(part, terms.positions);
      accumulate(is_own(term) ? logits.own : logits.shared, term);
      continue;
    }
    logits.by_position = logits.by_position || (terms.positions && part.by_position());
    if (part.whole) {
      accumulate(logits.shared, part.whole);
    } else {
      logits.factors.push_back(part.factors);
      if (part.bias) accumulate(logits.shared, part.bias);
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
  if (logits.by_blocks) {
    SeenKeys seen{.key_mask = terms.key_mask, .segments = terms.segments, .causal = terms.causal};
    if (logits.by_position) {
      seen.positions = terms.positions;
      if (logits.shared) logits.shared = broadcast(logits.shared, terms.positions.shape().dims()[1], 1);
    }
    return dot_attention(logits.factors, values, logits.shared, seen);
  }
  if (!logits.own && !is_shared(scope, terms))
    logits = {.shared = {}, .own = broadcast(logits.shared, values.shape().dims()[0], 0)};
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
