// Attention whose alignment is nowhere in memory as a whole: scores are made, normalised and applied block by block,
// and made again in backward (Dao et al. 2022, "FlashAttention"; Rabe & Staats 2021).
//
//   Y_b = softmax(Σ_p Q_pb K_pbᵀ + S) V_b over the keys that may be seen
//
// A term of the scores that is a product of queries and keys is given as these two, its pair; so is one that is made of
// two factors of the query. S, whatever the examples
// share otherwise, is given as it is. In packed rows what the examples share may be of documents: a query and a key of
// one document then meet it at their places in that document.
//
// Its unfused form is an einsum a pair, their sum, core/ops/softmax.h and an einsum with the values.
#pragma once

#include <span>
#include <vector>

#include "core/graph/graph.h"

namespace synthesizer {

enum class PairKind : char {
  kOwn,     // keys of each example (dot product)
  kShared,  // keys that are the same for all examples (the last layer of Dense: its weight)
  kCommon,  // these, and queries that are the same for all heads (Dense of one hidden layer for all, Conv)
  kOuter,   // two factors of the query: of key j, queries[j div b] · keys[j mod b] (factorized Dense)
};

struct DotAttentionOptions {
  std::vector<PairKind> kinds;  // of the pairs
  bool addend = false;
  bool key_mask = false;
  bool segments = false;   // with `key_mask`
  bool positions = false;  // with `segments`
  bool causal = false;     // query i sees keys j <= i

  size_t pairs() const { return kinds.size(); }
  bool shares_keys(size_t pair) const { return kinds[pair] == PairKind::kShared || kinds[pair] == PairKind::kCommon; }
  // Whether scores of a pair are made apart from the blocks, in workspace, of some examples at a time: their products
  // are too large for blocks, or none.
  bool is_apart(size_t pair) const { return kinds[pair] == PairKind::kCommon || kinds[pair] == PairKind::kOuter; }
  bool has_apart() const;
  // Whether a pair is kCommon with keys [e, heads, memory_length]. `inputs` as below.
  bool heads_second(std::span<const ValueType> inputs, size_t pair) const;
  // Where the inputs are that come after the pairs' queries and keys.
  size_t values() const { return 2 * pairs(); }
  size_t mask() const { return values() + 1 + (addend ? 1 : 0); }
  size_t inputs() const { return mask() + (key_mask ? 1 : 0) + (segments ? 1 : 0) + (positions ? 1 : 0); }
};

// Inputs: of each pair queries [batch, length, heads, e], or of kCommon [batch, length, e], and keys, of kOwn [batch,
// memory_length, heads, e], of kShared [heads, e, memory_length], of kCommon these or [e, heads, memory_length], of
// kOuter [batch, length, heads, b] with e·b >= memory_length, with an e and b of the pair's own; values [batch,
// memory_length, heads, head]; S [heads, length, memory_length] or, without positions, [heads, memory_length]; key_mask
// [batch, memory_length] (i32), 0 for keys that may not be seen; segments [batch, length] (i32): a query sees the keys
// whose key_mask is its own number; positions [batch, length] (i32): the place of token i in its document, which begins
// at i - positions[i] and has one segment, for queries and keys alike (length is memory_length). Then query i and key j
// meet S[h, positions[i], positions[j]], and of pairs that are not kOwn what is of positions[j]. Positions that are not
// so give anything. Without pairs there are segments. What all examples share (keys, S) and log Σ exp are of
// compute_type() of the others' type. Outputs: Y [batch, length, heads, head]; log Σ exp of each row's scores [batch,
// heads, length], which only the gradient reads. A query with no key to see has Y = 0, and 0 there.
class DotAttention : public Op {
 public:
  explicit DotAttention(DotAttentionOptions options) : options_(std::move(options)) {}
  const DotAttentionOptions& options() const { return options_; }

  std::string_view name() const override { return "dot_attention"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  DotAttentionOptions options_;
};

// Inputs: those of DotAttention, log Σ exp, dY. Outputs: the gradients of the pairs' queries and keys, of V and,
// with `to_addend`, of S.
class DotAttentionGradient : public Op {
 public:
  DotAttentionGradient(DotAttentionOptions options, bool to_addend)
      : options_(std::move(options)), to_addend_(to_addend) {}
  const DotAttentionOptions& options() const { return options_; }
  bool to_addend() const { return to_addend_; }

  std::string_view name() const override { return "dot_attention_gradient"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  // What belongs to one example takes the place of what it is the gradient of.
  std::vector<Alias> aliases() const override;

 private:
  DotAttentionOptions options_;
  bool to_addend_;
};

// A term of the scores. Queries and keys as above; their dims tell of which kind.
struct QueryKeyPair {
  Value queries, keys;
  PairKind kind() const;
};

// Which keys a query sees, and where it meets what the examples share. Each may be no value.
struct SeenKeys {
  Value key_mask = {}, segments = {}, positions = {};
  bool causal = false;
};

// Y. At least one pair or segments; `addend` may be no value.
Value dot_attention(const std::vector<QueryKeyPair>& pairs, Value values, Value addend = {}, const SeenKeys& seen = {});

}  // namespace synthesizer
