// Causal weights are zero above the diagonal, as a softmax has made them.
#include "core/ops/shared_product.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

struct Row {
  std::string label;
  int64_t batch, heads, length, keys, head;
  bool causal, all_rules = false;
};

bool above_diagonal(const Index& i) { return i.at("memory_length") > i.at("length"); }

OpCase case_of(const std::string& op, const Row& r) {
  OpCase c;
  c.op = op;
  c.label = r.label;
  c.inputs = {{"weights", {kHeads(r.heads), kLength(r.length), kMemoryLength(r.keys)}, 0, 1},
              {"values", {kBatch(r.batch), kMemoryLength(r.keys), kHeads(r.heads), kHead(r.head)}}};
  c.wide = {"weights"};
  if (r.causal)
    c.adjust = [](std::vector<Tensor>& in) {
      each(in[0].shape, [&](const Index& i) {
        if (above_diagonal(i)) in[0](i) = 0;
      });
    };
  c.tolerance32 = 1e-5;
  c.all_rules = r.all_rules;
  return c;
}

// Calls body(index of all dims).
template <typename Body>
void each_term(const Row& r, const Body& body) {
  each({kBatch(r.batch), kHeads(r.heads), kLength(r.length), kMemoryLength(r.keys), kHead(r.head)}, body);
}

OpCase make_row(const Row& r) {
  OpCase c = case_of("shared_product", r);
  c.build = [=](Graph&, In in, DType) { return std::vector{shared_product(in[0], in[1], r.causal)}; };
  const Shape y{kBatch(r.batch), kLength(r.length), kHeads(r.heads), kHead(r.head)};
  c.reference = [=](const auto& in) {
    Tensor out(y);
    each_term(r, [&](const Index& i) { out(i) += in[0](i) * in[1](i); });
    return std::vector{out};
  };
  // By differences the weights above the diagonal would count.
  c.inputs[0].varies = !r.causal;
  c.flops = 2 * r.batch * r.heads * r.length * r.keys * r.head;
  if (!r.causal) c.product_flops = c.flops;
  return c;
}

OpCase make_gradient_row(const Row& r) {
  OpCase c = case_of("shared_product_gradient", r);
  c.inputs.push_back({"dy", {kBatch(r.batch), kLength(r.length), kHeads(r.heads), kHead(r.head)}});
  c.build = [=](Graph& g, In in, DType) { return g.add(std::make_shared<SharedProductGradient>(r.causal), in); };
  c.reference = [=](const auto& in) {
    Tensor dweights(in[0].shape), dvalues(in[1].shape);
    each_term(r, [&](const Index& i) {
      if (!r.causal || !above_diagonal(i)) dweights(i) += in[2](i) * in[1](i);
      dvalues(i) += in[0](i) * in[2](i);
    });
    return std::vector{dweights, dvalues};
  };
  c.has_gradient = false;
  c.flops = 4 * r.batch * r.heads * r.length * r.keys * r.head;
  if (!r.causal) c.product_flops = c.flops;
  return c;
}

}  // namespace

std::vector<OpCase> shared_product_cases() {
  std::vector<OpCase> rows;
  for (const Row& r : std::vector<Row>{
           {"odd", 3, 5, 7, 31, 3, false},
           {"one", 1, 1, 1, 1, 1, false},
           {"long", 2, 1, 3, 511, 2, false},
           {"panels", 2, 3, 49, 70, 17, false},
           {"causal", 3, 2, 33, 33, 5, true},
           {"causal_panels", 2, 3, 101, 101, 35, true},
           {"causal_wide", 2, 2, 17, 40, 16, true},
           {"causal_tall", 2, 2, 40, 17, 16, true},
           {"causal_long", 2, 1, 300, 270, 2, true},
           {"causal_long_wide", 1, 2, 140, 290, 3, true},
           {"even", 4, 4, 4, 8, 4, false, true},
           {"even_causal", 4, 4, 7, 7, 4, true, true},
       }) {
    rows.push_back(make_row(r));
    rows.push_back(make_gradient_row(r));
  }
  return rows;
}

}  // namespace synthesizer
