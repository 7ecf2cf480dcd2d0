#include "core/ops/einsum.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

// Over the dims of both together.
Shape all_dims(const Shape& a, const Shape& b) {
  std::vector<Dim> dims = a.dims();
  for (const Dim& dim : b.dims())
    if (!a.has(dim.name)) dims.push_back(dim);
  return Shape(dims);
}

OpCase row(const std::string& label, const Shape& a, const Shape& b, const DimNames& output, bool all_rules = false) {
  OpCase c;
  c.op = "einsum";
  c.label = label;
  c.inputs = {{"a", a}, {"b", b}};
  c.build = [output](Graph&, In in, DType) { return std::vector{einsum_to(in[0], in[1], output)}; };
  const Shape all = all_dims(a, b);
  c.reference = [all, output](const auto& in) {
    std::vector<Dim> dims;
    for (const std::string& name : output) dims.push_back({name, all.size(name)});
    Tensor y{Shape(dims)};
    each(all, [&](const Index& i) { y(i) += in[0](i) * in[1](i); });
    return std::vector{y};
  };
  c.tolerance32 = 1e-5;
  c.flops = c.product_flops = 2 * all.elements();
  c.all_rules = all_rules;
  return c;
}

// The same with an epilogue, whose values are the row's as they would be without.
OpCase with_epilogue(OpCase c, const DimNames& output, Epilogue epilogue) {
  const bool gated = epilogue == Epilogue::kReluGradient;
  c.label += gated ? "_relu_gradient" : "_relu";
  c.has_gradient = false;
  std::vector<Dim> dims;
  for (const std::string& name : output)
    for (const OpInput& in : {c.inputs[0], c.inputs[1]})
      if (in.shape.has(name) && (dims.empty() || dims.back().name != name)) dims.push_back({name, in.shape.size(name)});
  if (gated) c.inputs.push_back({"relu", Shape(dims)});
  c.build = [=](Graph& g, In in, DType) { return g.add(std::make_shared<Einsum>(output, false, epilogue), in); };
  c.reference = [=, plain = c.reference](const std::vector<Tensor>& in) {
    std::vector<Tensor> y = plain(in);
    for (size_t i = 0; i < y[0].data.size(); ++i)
      if (gated ? in[2].data[i] <= 0 : y[0].data[i] < 0) y[0].data[i] = 0;
    return y;
  };
  return c;
}

}  // namespace

std::vector<OpCase> product_cases() {
  const Dim batch = kBatch(3), length = kLength(31), keys = kMemoryLength(33), heads = kHeads(5), head = kHead(7);
  std::vector<OpCase> rows = {
      row("product", {kLength(31), kModel(33)}, {kModel(33), kFf(17)}, {"length", "ff"}),
      row("transposed", {kModel(33), kLength(31)}, {kFf(17), kModel(33)}, {"length", "ff"}),
      row("swapped", {kLength(31), kModel(33)}, {kModel(33), kFf(17)}, {"ff", "length"}),
      row("long_inner", {kLength(1), kModel(511)}, {kModel(511), kFf(3)}, {"length", "ff"}),
      row("long_rows", {kBatch(7), kLength(73), kModel(3)}, {kModel(3), kFf(1)}, {"batch", "length", "ff"}),
      row("projection", {batch, length, kModel(33)}, {kModel(33), heads, head}, {"batch", "length", "heads", "head"}),
      row("join", {batch, length, heads, head}, {heads, head, kModel(33)}, {"batch", "length", "model"}),
      row("scores", {batch, length, heads, head}, {batch, keys, heads, head},
          {"batch", "heads", "length", "memory_length"}),
      row("values", {batch, heads, length, keys}, {batch, keys, heads, head}, {"batch", "length", "heads", "head"}),
      row("weight_gradient", {batch, length, kModel(33)}, {batch, length, heads, head}, {"model", "heads", "head"}),
      row("shared", {heads, length, keys}, {batch, keys, heads, head}, {"batch", "length", "heads", "head"}),
      row("dense", {batch, length, heads, head}, {heads, head, keys}, {"batch", "heads", "length", "memory_length"}),
      row("outer", {kFactorA(5)}, {kFactorB(7)}, {"factor_a", "factor_b"}),
      row("batched_outer", {batch, kFactorA(5)}, {kFactorB(7), batch}, {"factor_a", "batch", "factor_b"}),
      row("dot", {length, keys}, {keys, length}, {}),
      row("elementwise", {length, heads}, {heads, length}, {"heads", "length"}),
      row("matrix_vector", {length, kModel(33)}, {kModel(33)}, {"length"}),
      row("scaled", {length, heads}, {}, {"heads", "length"}),
      row("ones", {kBatch(1), kLength(1), kModel(1)}, {kModel(1), kFf(1)}, {"batch", "length", "ff"}),
      row("parts", {kParts(2)}, {heads, kParts(2), keys}, {"heads", "memory_length"}),
      row("even", {kBatch(4), kHeads(4), kLength(8), kModel(12)}, {kBatch(4), kModel(12), kHeads(4), kFf(4)},
          {"batch", "length", "heads", "ff"}, true),
      row("even_two_inner", {kBatch(4), kLength(4), kHeads(8)}, {kBatch(4), kLength(4), kModel(4)}, {"heads", "model"},
          true),
  };
  const Dim model = kModel(33), ff = kFf(40);
  const DimNames to_ff = {"batch", "length", "ff"}, to_heads = {"batch", "heads", "length"};
  for (const Epilogue epilogue : {Epilogue::kRelu, Epilogue::kReluGradient}) {
    rows.push_back(with_epilogue(row("product", {batch, length, model}, {model, ff}, to_ff), to_ff, epilogue));
    rows.push_back(
        with_epilogue(row("deep", {batch, length, kModel(2100)}, {kModel(2100), ff}, to_ff), to_ff, epilogue));
    rows.push_back(
        with_epilogue(row("small", {kBatch(1), kLength(3), model}, {model, kFf(2)}, to_ff), to_ff, epilogue));
    rows.push_back(with_epilogue(row("two_inner", {batch, length, heads, head}, {heads, length, head}, to_heads),
                                 to_heads, epilogue));
    rows.push_back(with_epilogue(row("even", {kBatch(4), kLength(8), kModel(12)}, {kModel(12), kFf(4)}, to_ff, true),
                                 to_ff, epilogue));
  }
  return rows;
}

}  // namespace synthesizer
