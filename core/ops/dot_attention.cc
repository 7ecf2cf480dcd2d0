#include "core/ops/dot_attention.h"

#include "core/base/error.h"
#include "core/ops/cast.h"
#include "core/ops/contract.h"

namespace synthesizer {
namespace {

std::string_view text(PairKind kind) {
  switch (kind) {
    case PairKind::kOwn:
      return "keys";
    case PairKind::kShared:
      return "shared keys";
    case PairKind::kCommon:
      return "common queries";
    case PairKind::kOuter:
      return "outer";
  }
  return "";
}

std::string text(const DotAttentionOptions& options) {
  std::vector<std::string_view> parts;
  for (const PairKind kind : options.kinds) parts.push_back(text(kind));
  if (options.addend) parts.emplace_back("addend");
  if (options.key_mask) parts.emplace_back("key mask");
  if (options.segments) parts.emplace_back("segments");
  if (options.positions) parts.emplace_back("positions");
  if (options.causal) parts.emplace_back("causal");
  return fmt::format("{}", fmt::join(parts, ", "));
}

struct Dims {
  Dim batch, query, key, heads, head;
  int64_t inner = 0, outer = 0;  // of all products together; how many pairs are none

  int64_t scores() const { return batch.size * heads.size * query.size * key.size; }
  Shape y() const { return {batch, query, heads, head}; }
  Shape log_sum() const { return {batch, heads, query}; }
};

size_t queries_rank(const DotAttentionOptions& options, size_t pair) {
  return options.kinds[pair] == PairKind::kCommon ? 3 : 4;
}

const Dim& dim_of(std::string_view op, std::string_view what, const ValueType& type, size_t rank, size_t index) {
  if (type.shape.rank() != rank) fail("[{}] {}: got {}, expected {} dimensions", op, what, describe(type), rank);
  return type.shape.dims()[index];
}

// Checks the inputs up to the masks and names their dims.
Dims infer_dims(std::string_view op, const DotAttentionOptions& options, std::span<const ValueType> inputs) {
  CHECK(options.pairs() > 0 || options.segments, "[{}] neither a pair of queries and keys nor segments", op);
  CHECK(options.key_mask || !options.segments, "[{}] segments of queries without those of keys", op);
  CHECK(options.segments || !options.positions, "[{}] positions in documents without their segments", op);
  const ValueType& values = inputs[options.values()];
  expect_floating(op, "values", values);
  const DType dtype = values.dtype, wide = compute_type(dtype);
  Dims d;
  d.batch = dim_of(op, "values", values, 4, 0);
  d.key = dim_of(op, "values", values, 4, 1);
  d.heads = dim_of(op, "values", values, 4, 2);
  d.head = dim_of(op, "values", values, 4, 3);
  d.query = options.pairs() == 0 ? dim_of(op, "segments", inputs[options.mask() + 1], 2, 1)
                                 : dim_of(op, "queries", inputs[0], queries_rank(options, 0), 1);
  for (size_t p = 0; p < options.pairs(); ++p) {
    const size_t rank = queries_rank(options, p);
    const Dim& inner = dim_of(op, "queries", inputs[2 * p], rank, rank - 1);
    expect_type(op, "queries", inputs[2 * p],
                {dtype, rank == 3 ? Shape{d.batch, d.query, inner} : Shape{d.batch, d.query, d.heads, inner}});
    const ValueType& keys = inputs[2 * p + 1];
    if (options.kinds[p] == PairKind::kOuter) {
      const Dim& second = dim_of(op, "second factor", keys, 4, 3);
      expect_type(op, "second factor", keys, {dtype, Shape{d.batch, d.query, d.heads, second}});
      if (inner.size * second.size < d.key.size)
        fail("[{}] factors of {} and {}, expected as many together as the {} keys", op, inner.size, second.size,
             d.key.size);
      ++d.outer;
      continue;
    }
    expect_type(op, "keys", keys,
                !options.shares_keys(p)           ? ValueType{dtype, Shape{d.batch, d.key, d.heads, inner}}
                : options.heads_second(inputs, p) ? ValueType{wide, Shape{inner, d.heads, d.key}}
                                                  : ValueType{wide, Shape{d.heads, inner, d.key}});
    d.inner += inner.size;
  }
  if (options.addend) {
    const ValueType& addend = inputs[options.values() + 1];
    const Shape full{d.heads, d.query, d.key};
    const bool by_key = addend.shape.rank() == 2 && !options.positions;
    expect_type(op, "addend", addend, {wide, by_key ? full.without(d.query.name) : full});
  }
  if (options.key_mask) expect_type(op, "key mask", inputs[options.mask()], {DType::kInt32, Shape{d.batch, d.key}});
  for (size_t i = options.mask() + 1; i < options.inputs(); ++i)
    expect_type(op, i == options.mask() + 1 ? "segments" : "positions", inputs[i],
                {DType::kInt32, Shape{d.batch, d.query}});
  if (options.positions && d.query.size != d.key.size)
    fail("[{}] got {} queries and {} keys, expected as many: positions are of both", op, d.query.size, d.key.size);
  return d;
}

}  // namespace

bool DotAttentionOptions::has_apart() const {
  for (size_t p = 0; p < pairs(); ++p)
    if (is_apart(p)) return true;
  return false;
}

bool DotAttentionOptions::heads_second(std::span<const ValueType> inputs, size_t pair) const {
  const Shape &keys = inputs[2 * pair + 1].shape, &of_values = inputs[values()].shape;
  return kinds[pair] == PairKind::kCommon && keys.rank() == 3 && keys.dims()[1] == of_values.dims()[2];
}

// ---- DotAttention

std::string DotAttention::attributes() const { return text(options_); }

std::vector<ValueType> DotAttention::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, options_.inputs());
  const Dims d = infer_dims(name(), options_, inputs);
  const DType dtype = inputs[options_.values()].dtype;
  return {{dtype, d.y()}, {compute_type(dtype), d.log_sum()}};
}

std::vector<Value> DotAttention::gradient(const GradientContext& context) const {
  std::vector<Value> gradients(context.inputs.size());
  CHECK(!context.output_gradients[1],
        "[dot_attention {}] a gradient reaches the sums of exponentials, which only the gradient reads", context.name);
  const Value dy = context.output_gradients[0];
  if (!dy) return gradients;
  std::vector<Value> inputs(context.inputs.begin(), context.inputs.end());
  inputs.insert(inputs.end(), {context.outputs[1], dy});
  const bool to_addend = options_.addend && context.needed[options_.values() + 1];
  const auto results = dy.graph().add(std::make_shared<DotAttentionGradient>(options_, to_addend), inputs);
  for (size_t i = 0; i < results.size(); ++i)
    if (context.needed[i]) gradients[i] = results[i];
  return gradients;
}

// Without causality and documents a query is as good as any other.
std::vector<PartitionRule> DotAttention::partition(std::span<const ValueType> inputs,
                                                   std::span<const ValueType> outputs) const {
  const Dims d = infer_dims(name(), options_, inputs);
  std::vector<PartitionRule> rules = {whole_rule(inputs.size(), 2), split_rule(d.batch.name, inputs, outputs),
                                      split_rule(d.heads.name, inputs, outputs)};
  if (!options_.causal && !options_.positions) rules.push_back(split_rule(d.query.name, inputs, outputs));
  rules.push_back(partial_rule(Placement::partial_sum(), inputs.size(), {options_.values()}, 2, {0}));
  return rules;
}

// Two products; of a score the softmax, a multiplication and addition of an outer pair, and adding the addend. Scores
// that are made apart are written and read.
Cost DotAttention::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  const Dims d = infer_dims(name(), options_, inputs);
  const int64_t apart = options_.has_apart() ? 2 * d.scores() * size_of(outputs[1].dtype) : 0;
  return {d.scores() * (2 * (d.inner + d.outer + d.head.size) + (options_.addend ? 6 : 5)),
          total_bytes(inputs) + total_bytes(outputs) + apart};
}

// ---- DotAttentionGradient

std::string DotAttentionGradient::attributes() const { return text(options_) + (to_addend_ ? ", to addend" : ""); }

std::vector<ValueType> DotAttentionGradient::infer(std::span<const ValueType> inputs) const {
  const size_t given = options_.inputs();
  expect_count(name(), inputs, given + 2);
  const Dims d = infer_dims(name(), options_, inputs);
  const DType dtype = inputs[options_.values()].dtype;
  expect_type(name(), "log sum", inputs[given], {compute_type(dtype), d.log_sum()});
  expect_type(name(), "dY", inputs[given + 1], {dtype, d.y()});
  const auto outputs = inputs.first(options_.values() + (to_addend_ ? 2 : 1));
  return {outputs.begin(), outputs.end()};
}

// What lacks the dim that is split sums over it.
std::vector<PartitionRule> DotAttentionGradient::partition(std::span<const ValueType> inputs,
                                                           std::span<const ValueType> outputs) const {
  const Dims d = infer_dims(name(), options_, inputs);
  const auto summed = [&](const Dim& dim) {
    PartitionRule rule = split_rule(dim.name, inputs, outputs);
    for (Placement& output : rule.outputs)
      if (output == Placement::whole()) output = Placement::partial_sum();
    return rule;
  };
  std::vector<PartitionRule> rules = {whole_rule(inputs.size(), outputs.size()), summed(d.batch), summed(d.heads)};
  if (!options_.causal && !options_.positions) rules.push_back(summed(d.query));
  PartitionRule partial = partial_rule(Placement::partial_sum(), inputs.size(), {inputs.size() - 1}, 0, {});
  partial.outputs.assign(outputs.size(), Placement::partial_sum());
  rules.push_back(partial);
  return rules;
}

// Five products, of which the scores' is made again; of a score the exponential, its part of the row's mean, minus that
// mean, times it. Scores that are made apart are written and read, and their gradients written and read by two
// products.
Cost DotAttentionGradient::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  const Dims d = infer_dims(name(), options_, inputs);
  const int64_t a_score = 6 + (options_.addend ? 1 : 0) + (to_addend_ ? 1 : 0);
  const int64_t again = d.scores() * (2 * (d.inner + d.outer) + 1 + (options_.addend ? 1 : 0));
  const int64_t score = 2 * size_of(inputs[options_.inputs()].dtype) + 3 * size_of(inputs[options_.values()].dtype);
  return {d.scores() * (2 * (3 * (d.inner + d.outer) + 2 * d.head.size) + a_score),
          total_bytes(inputs) + total_bytes(outputs) + (options_.has_apart() ? d.scores() * score : 0), again};
}

std::vector<Alias> DotAttentionGradient::aliases() const {
  std::vector<Alias> aliases;
  for (size_t i = 0; i <= options_.values(); ++i) {
    const bool of_all = i < options_.values() && i % 2 == 1 && options_.shares_keys(i / 2);
    if (!of_all) aliases.push_back({static_cast<int>(i), static_cast<int>(i), Alias::Kind::kInPlace});
  }
  return aliases;
}

PairKind QueryKeyPair::kind() const {
  const Shape &of_queries = queries.shape(), &of_keys = keys.shape();
  if (of_queries.rank() == 3) {
    CHECK(of_keys.rank() == 3, "queries that all heads share with keys of each example");
    return PairKind::kCommon;
  }
  if (of_keys.rank() == 3) return PairKind::kShared;
  return of_keys.has(of_queries.dims()[1].name) ? PairKind::kOuter : PairKind::kOwn;
}

Value dot_attention(const std::vector<QueryKeyPair>& pairs, Value values, Value addend, const SeenKeys& seen) {
  DotAttentionOptions options;
  std::vector<Value> inputs;
  const DType dtype = values.dtype(), wide = compute_type(dtype);
  for (const QueryKeyPair& pair : pairs) {
    options.kinds.push_back(pair.kind());
    const bool shared = options.shares_keys(options.pairs() - 1);
    inputs.insert(inputs.end(), {cast(pair.queries, dtype), cast(pair.keys, shared ? wide : dtype)});
  }
  options.addend = static_cast<bool>(addend);
  options.key_mask = static_cast<bool>(seen.key_mask);
  options.segments = static_cast<bool>(seen.segments);
  options.positions = static_cast<bool>(seen.positions);
  options.causal = seen.causal;
  inputs.push_back(values);
  if (addend) addend = cast(addend, wide);
  for (const Value& value : {addend, seen.key_mask, seen.segments, seen.positions})
    if (value) inputs.push_back(value);
  return values.graph().add(std::make_shared<DotAttention>(std::move(options)), inputs)[0];
}

}  // namespace synthesizer
