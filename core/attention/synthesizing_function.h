// What a synthesizing function is: S(X) of the paper's Y = softmax(S(X)) G(X), one class and one file each.
// Mask, softmax, values, heads and parallelism are the shell's (attention.h); none of them is to be found in a
// function.
#pragma once

#include <cstdint>
#include <string>

#include "core/attention/config.h"
#include "core/attention/scope.h"
#include "core/ops/dot_attention.h"

namespace synthesizer {

// The sizes that an attention's parameters are made with, besides its own configuration.
struct AttentionSizes {
  int64_t d_model = 0;
  int64_t num_heads = 0;
  int64_t d_head = 0;
};

struct AttentionInput {
  Value x = {};         // [batch, length, model]: what the queries are made of
  Value memory = {};    // [batch, memory_length, model]: what keys and values are made of; in self-attention x renamed
  Value values = {};    // [batch, memory_length, heads, head]
  Value weight = {};    // [] or [heads], of this part in a mixture; no value: 1
  Value key_mask = {};  // [batch, memory_length] i32, 0 for padding; or no value
  Value segments = {};  // [batch, length] i32 of a packed row: the document of each query; or no value
  bool causal = false;  // no position sees those after it

  int64_t length() const { return x.shape().size(kLength.name); }
  int64_t memory_length() const { return memory.shape().size(kMemoryLength.name); }
};

// weight · S(X) of one part. What is made of queries and keys, or of two factors, is given as these two, so that nobody
// has to make a number for each query and key; whether anybody does is the shell's business. What is sized by position
// is given of the first positions, as many as the batch is long: in packed rows they are places in a document, and the
// shell brings them to where the tokens are.
struct Term {
  Term(Value whole) : whole(whole) {}
  explicit Term(QueryKeyPair factors, Value bias = {}) : factors(factors), bias(bias) {}
  // The term as one value, made here where it is in factors.
  Value product() const;
  // Whether its keys are positions, as they are of all but what is a product of queries and keys made of x.
  bool by_position() const { return whole || factors.kind() != PairKind::kOwn; }

  Value whole = {};           // [batch, heads, length, memory_length], or without batch where examples do not differ
  QueryKeyPair factors = {};  // or, in its place, what it is made of, as dot_attention takes both
  Value bias = {};            // [heads, memory_length], added to their product; or no value
  bool dear = false;          // in factors so deep that their product costs more to make again than to keep
};

class SynthesizingFunction {
 public:
  SynthesizingFunction(const AttentionConfig& config, const AttentionSizes& sizes) : config_(config), sizes_(sizes) {}
  virtual ~SynthesizingFunction() = default;

  // weight · S(X). Throws UsageError for lengths beyond max_length if anything is sized by position.
  virtual Term alignment(const Scope& scope, const AttentionInput& in) const = 0;

 protected:
  const AttentionConfig config_;
  const AttentionSizes sizes_;
};

// x, or weight · x where the part has a weight. A part multiplies what is smallest.
Value weighted(Value x, const AttentionInput& in);

// What is sized by position, of which the batch needs no more than it is long. Throw UsageError where x has not so
// many, or the model has not.
void check_length(int64_t length, int64_t max_length);
Value leading_keys(Value x, const AttentionInput& in);  // the first of memory_position
Value at_queries(Value x, const AttentionInput& in);    // the first rows, position → length
Value at_keys(Value x, const AttentionInput& in);       // the first columns, memory_position → memory_length

}  // namespace synthesizer
