// Attention by blocks against sums over every query and key. Rows with nothing to see, long rows and threads are in
// core/kernels/dot_attention_test.cc.
#include <algorithm>
#include <cmath>

#include "core/ops/dot_attention.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

enum class Addend { kNone, kByQuery, kByKey };

struct Row {
  std::string label;
  int64_t batch, heads, length, keys, head;
  std::vector<std::pair<int64_t, PairKind>> pairs;  // of these widths
  Addend addend = Addend::kNone;
  bool key_mask = false, segments = false, causal = false;
  bool all_rules = false;
  bool positions = false;
  bool heads_second = false;  // of the keys of common pairs

  DotAttentionOptions options() const {
    DotAttentionOptions options;
    for (const auto& [width, kind] : pairs) options.kinds.push_back(kind);
    options.addend = addend != Addend::kNone;
    options.key_mask = key_mask;
    options.segments = segments;
    options.positions = positions;
    options.causal = causal;
    return options;
  }
};

const DimName kInner{"inner"}, kSecond{"second"};
// Of the second of two factors.
int64_t second(const Row& r, int64_t first) { return (r.keys + first - 1) / first; }

std::vector<OpInput> inputs_of(const Row& r) {
  const Dim batch = kBatch(r.batch), heads = kHeads(r.heads), length = kLength(r.length), keys = kMemoryLength(r.keys);
  std::vector<OpInput> inputs;
  for (size_t p = 0; p < r.pairs.size(); ++p) {
    const auto [width, kind] = r.pairs[p];
    const Dim inner = kInner(width);
    inputs.push_back({"queries" + std::to_string(p),
                      kind == PairKind::kCommon ? Shape{batch, length, inner} : Shape{batch, length, heads, inner}});
    const bool heads_second = r.heads_second && kind == PairKind::kCommon;
    inputs.push_back({"keys" + std::to_string(p), kind == PairKind::kOwn ? Shape{batch, keys, heads, inner}
                                                  : kind == PairKind::kOuter
                                                      ? Shape{batch, length, heads, kSecond(second(r, width))}
                                                  : heads_second ? Shape{inner, heads, keys}
                                                                 : Shape{heads, inner, keys}});
  }
  inputs.push_back({"values", {batch, keys, heads, kHead(r.head)}});
  if (r.addend == Addend::kByQuery) inputs.push_back({"addend", {heads, length, keys}, -2, 2});
  if (r.addend == Addend::kByKey) inputs.push_back({"addend", {heads, keys}, -2, 2});
  if (r.key_mask) inputs.push_back({"mask", {batch, keys}, 0, r.segments ? 2. : 1., DType::kInt32});
  if (r.segments) inputs.push_back({"segments", {batch, length}, 1, 2, DType::kInt32});
  if (r.positions) inputs.push_back({"positions", {batch, length}, 0, 0, DType::kInt32});
  return inputs;
}

// Documents of three tokens and of what is left of two thirds of a row, then one that nobody sees; of each example in
// another order.
void put_documents(std::vector<Tensor>& in, const Row& r) {
  const size_t mask = r.options().mask();
  for (int64_t b = 0; b < r.batch; ++b)
    for (int64_t i = 0, begin = 0; i < r.length; ++i) {
      const int64_t first = b % 2 == 0 ? 3 : std::max<int64_t>(2 * r.length / 3 - 3, 1), both = 2 * r.length / 3;
      if (i == first || i == both) begin = i;
      const double segment = i < first ? 1 : i < both ? 2 : 0;
      in[mask](Index{{"batch", b}, {"memory_length", i}}) = segment;
      in[mask + 1](Index{{"batch", b}, {"length", i}}) = segment;
      in[mask + 2](Index{{"batch", b}, {"length", i}}) = static_cast<double>(i - begin);
    }
}

// Each query sees a key: that a partition gives a row nothing to see is not what these rows are about.
void let_see(std::vector<Tensor>& in, const Row& r) {
  const DotAttentionOptions options = r.options();
  if (!r.key_mask) return;
  if (r.positions) return put_documents(in, r);
  for (int64_t b = 0; b < r.batch; ++b)
    for (int64_t j = 0; j < std::min<int64_t>(2, r.keys); ++j)
      in[options.mask()](Index{{"batch", b}, {"memory_length", j}}) = r.segments ? static_cast<double>(1 + j) : 1;
  for (int64_t b = 0; r.segments && r.causal && b < r.batch; ++b)
    in[options.mask() + 1](Index{{"batch", b}, {"length", 0}}) = 1;
}

// Where i meets what the examples share.
Index place_of(const std::vector<Tensor>& in, const Row& r, Index i) {
  if (!r.positions) return i;
  const Tensor& positions = in[r.options().mask() + 2];
  const double query = positions(i);
  i["length"] = i.at("memory_length");
  i["memory_length"] = static_cast<int64_t>(positions(i));
  i["length"] = static_cast<int64_t>(query);
  return i;
}

// Calls term(i of the queries, i of the keys) for the products that a pair's score is a sum of.
template <typename Term>
void each_term(const std::vector<Tensor>& in, const Row& r, size_t p, Index i, Term term) {
  Index place = place_of(in, r, i);
  const auto& [width, kind] = r.pairs[p];
  if (kind == PairKind::kOuter) {
    const int64_t b = second(r, width), j = place.at("memory_length");
    i["inner"] = j / b;
    i["second"] = j % b;
    return term(i, i);
  }
  for (int64_t a = 0; a < width; ++a) {
    i["inner"] = place["inner"] = a;
    term(i, kind == PairKind::kOwn ? i : place);
  }
}

struct Weights {
  Tensor p, log_sum;
};

// p [batch, heads, length, memory_length], all in double.
Weights weights_of(const std::vector<Tensor>& in, const Row& r) {
  const DotAttentionOptions options = r.options();
  const Shape scores{kBatch(r.batch), kHeads(r.heads), kLength(r.length), kMemoryLength(r.keys)};
  Tensor e(scores), log_sum(scores.without("memory_length"));
  each(scores, [&](Index i) {
    if (r.causal && i.at("memory_length") > i.at("length")) return;
    if (r.key_mask && in[options.mask()](i) == 0) return;
    if (r.segments && in[options.mask()](i) != in[options.mask() + 1](i)) return;
    double score = options.addend ? in[options.values() + 1](place_of(in, r, i)) : 0;
    for (size_t p = 0; p < r.pairs.size(); ++p)
      each_term(in, r, p, i,
                [&](const Index& query, const Index& key) { score += in[2 * p](query) * in[2 * p + 1](key); });
    e(i) = std::exp(score);
    log_sum(i) += e(i);
  });
  each(scores, [&](const Index& i) { e(i) = log_sum(i) == 0 ? 0 : e(i) / log_sum(i); });
  for (double& sum : log_sum.data) sum = sum == 0 ? 0 : std::log(sum);
  return {e, log_sum};
}

std::vector<Tensor> naive(const std::vector<Tensor>& in, const Row& r) {
  const Weights w = weights_of(in, r);
  Tensor y({kBatch(r.batch), kLength(r.length), kHeads(r.heads), kHead(r.head)});
  each(w.p.shape, [&](Index i) {
    for (i["head"] = 0; i["head"] < r.head; ++i["head"]) y(i) += w.p(i) * in[r.options().values()](i);
  });
  return {y, w.log_sum};
}

std::vector<Tensor> naive_gradient(const std::vector<Tensor>& in, const Row& r) {
  const DotAttentionOptions options = r.options();
  const size_t values = options.values();
  Weights w = weights_of(in, r);
  const Tensor &log_sum = in[options.inputs()], &dy = in[options.inputs() + 1];
  each(w.p.shape, [&](const Index& i) { w.p(i) *= std::exp(w.log_sum(i) - log_sum(i)); });  // as it is given
  Tensor mean(log_sum.shape);                                                               // of dP by weight
  each(w.p.shape, [&](Index i) {
    for (i["head"] = 0; i["head"] < r.head; ++i["head"]) mean(i) += w.p(i) * dy(i) * in[values](i);
  });
  std::vector<Tensor> out;
  for (size_t i = 0; i <= values + (options.addend ? 1 : 0); ++i) out.emplace_back(in[i].shape);
  each(w.p.shape, [&](Index i) {
    double ds = -w.p(i) * mean(i);
    for (i["head"] = 0; i["head"] < r.head; ++i["head"]) {
      ds += w.p(i) * dy(i) * in[values](i);
      out[values](i) += w.p(i) * dy(i);
    }
    if (ds == 0) return;  // as between documents, whose places are nobody's
    if (options.addend) out[values + 1](place_of(in, r, i)) += ds;
    for (size_t p = 0; p < r.pairs.size(); ++p)
      each_term(in, r, p, i, [&](const Index& query, const Index& key) {
        out[2 * p](query) += ds * in[2 * p + 1](key);
        out[2 * p + 1](key) += ds * in[2 * p](query);
      });
  });
  return out;
}

int64_t scores(const Row& r) { return r.batch * r.heads * r.length * r.keys; }
int64_t inner(const Row& r) {
  int64_t sum = 0;
  for (const auto& [width, kind] : r.pairs) sum += kind == PairKind::kOuter ? 0 : width;
  return sum;
}
int64_t outer(const Row& r) { return static_cast<int64_t>(std::ranges::count(r.options().kinds, PairKind::kOuter)); }

OpCase make_row(const Row& r) {
  OpCase c;
  c.op = "dot_attention";
  c.label = r.label;
  c.inputs = inputs_of(r);
  c.wide = {"addend", "log_sum"};
  for (size_t p = 0; p < r.pairs.size(); ++p)
    if (r.options().shares_keys(p)) c.wide.insert("keys" + std::to_string(p));
  c.adjust = [r](std::vector<Tensor>& in) { let_see(in, r); };
  c.build = [r](Graph& g, In in, DType) { return g.add(std::make_shared<DotAttention>(r.options()), in); };
  c.reference = [r](const auto& in) { return naive(in, r); };
  c.tolerance32 = 1e-5;
  c.all_rules = r.all_rules;
  c.flops = scores(r) * (2 * (inner(r) + outer(r) + r.head) + (r.addend == Addend::kNone ? 5 : 6));
  if (!r.causal && !r.segments) c.product_flops = scores(r) * 2 * (inner(r) + r.head);
  if (r.options().has_apart()) c.extra_bytes = scores(r) * 2 * 4;
  return c;
}

OpCase make_gradient_row(const Row& r) {
  OpCase c = make_row(r);
  c.op = "dot_attention_gradient";
  const Shape y{kBatch(r.batch), kLength(r.length), kHeads(r.heads), kHead(r.head)};
  c.inputs.push_back({"log_sum", {kBatch(r.batch), kHeads(r.heads), kLength(r.length)}});
  c.inputs.push_back({"dy", y});
  c.adjust = [r](std::vector<Tensor>& in) {
    let_see(in, r);
    const std::vector<Tensor> forward = naive(in, r);
    for (size_t e = 0; e < forward[1].data.size(); ++e)
      in[r.options().inputs()].data[e] = static_cast<float>(forward[1].data[e]);
  };
  c.build = [r](Graph& g, In in, DType) {
    return g.add(std::make_shared<DotAttentionGradient>(r.options(), r.addend != Addend::kNone), in);
  };
  c.reference = [r](const auto& in) { return naive_gradient(in, r); };
  if (c.extra_bytes > 0) c.extra_bytes = scores(r) * 5 * 4;
  c.has_gradient = false;
  c.flops = {};
  if (c.product_flops) c.product_flops = scores(r) * 2 * (3 * inner(r) + 2 * r.head);
  return c;
}

}  // namespace

std::vector<OpCase> dot_attention_cases() {
  constexpr PairKind kOwn = PairKind::kOwn, kShared = PairKind::kShared, kCommon = PairKind::kCommon,
                     kOuter = PairKind::kOuter;
  std::vector<OpCase> rows;
  for (const Row& r : std::vector<Row>{
           {"one", 1, 1, 1, 1, 1, {{1, kOwn}}},
           {"odd", 3, 5, 7, 31, 3, {{3, kOwn}}},
           {"masked", 2, 3, 33, 31, 5, {{5, kOwn}}, Addend::kByQuery, true},
           {"causal", 3, 2, 33, 33, 5, {{4, kOwn}}, Addend::kByQuery, false, false, true},
           {"segments", 2, 2, 31, 31, 3, {{3, kOwn}}, Addend::kNone, true, true, true},
           {"dense", 3, 2, 9, 17, 3, {{7, kShared}}, Addend::kByKey, true},
           {"mixture", 3, 2, 33, 31, 3, {{1, kShared}, {5, kOwn}, {3, kShared}}, Addend::kByKey},
           {"blocks", 2, 1, 150, 290, 2, {{3, kOwn}}, Addend::kByQuery},
           {"even", 4, 4, 8, 6, 3, {{3, kOwn}, {2, kShared}}, Addend::kByQuery, true, true, false, true},
           {"even_by_key", 4, 4, 8, 6, 3, {{2, kShared}, {3, kOwn}}, Addend::kByKey, true, false, false, true},
           {"even_causal", 4, 4, 8, 8, 3, {{3, kOwn}}, Addend::kByQuery, true, false, true, true},
           {"common", 3, 2, 33, 31, 5, {{7, kCommon}}, Addend::kByKey, true},
           {"common_mixture",
            3,
            2,
            33,
            33,
            3,
            {{5, kOwn}, {6, kCommon}, {3, kShared}},
            Addend::kByQuery,
            true,
            false,
            true},
           {"two_common", 2, 1, 70, 66, 3, {{9, kCommon}, {2, kCommon}, {4, kOwn}}},
           {"no_pair", 2, 2, 9, 9, 3, {}, Addend::kByQuery, true, true, true},
           {"documents", 3, 2, 33, 33, 5, {{4, kOwn}}, Addend::kByQuery, true, true, true, false, true},
           {"documents_bidirectional", 3, 1, 70, 70, 3, {}, Addend::kByQuery, true, true, false, false, true},
           {"documents_mixture",
            3,
            2,
            31,
            31,
            3,
            {{3, kShared}, {2, kOwn}},
            Addend::kNone,
            true,
            true,
            false,
            false,
            true},
           {"documents_common",
            3,
            2,
            41,
            41,
            3,
            {{3, kCommon}, {4, kOwn}},
            Addend::kByQuery,
            true,
            true,
            false,
            false,
            true},
           {"long_documents",
            2,
            1,
            140,
            140,
            2,
            {{3, kOwn}, {2, kShared}},
            Addend::kByQuery,
            true,
            true,
            true,
            false,
            true},
           {"even_common", 4, 4, 8, 6, 3, {{2, kCommon}, {3, kOwn}}, Addend::kByQuery, true, false, false, true},
           {"even_documents",
            4,
            4,
            12,
            12,
            3,
            {{3, kOwn}, {2, kCommon}},
            Addend::kByQuery,
            true,
            true,
            true,
            true,
            true},
           {"outer", 3, 2, 33, 31, 5, {{4, kOuter}}, Addend::kNone, true},
           {"outer_short", 2, 2, 9, 9, 4, {{16, kShared}, {4, kOuter}}, Addend::kByQuery, false, false, true},
           {"outer_mixture",
            3,
            2,
            33,
            33,
            3,
            {{5, kOwn}, {6, kOuter}, {3, kShared}},
            Addend::kByQuery,
            true,
            false,
            true},
           {"heads_second",
            3,
            2,
            17,
            31,
            5,
            {{7, kCommon}, {5, kOuter}},
            Addend::kByKey,
            true,
            false,
            false,
            false,
            false,
            true},
           {"documents_outer",
            3,
            2,
            41,
            41,
            3,
            {{6, kOuter}, {4, kOwn}},
            Addend::kByQuery,
            true,
            true,
            false,
            false,
            true},
           {"even_outer",
            4,
            4,
            8,
            8,
            3,
            {{2, kOuter}, {3, kCommon}},
            Addend::kByQuery,
            true,
            false,
            false,
            true,
            false,
            true},
       }) {
    rows.push_back(make_row(r));
    rows.push_back(make_gradient_row(r));
  }
  return rows;
}

}  // namespace synthesizer
