#include <fmt/format.h>

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

Shape output_shape(const OpCase& c, const DimNames& output) {
  std::vector<Dim> dims;
  for (const std::string& name : output)
    dims.push_back({name, all_dims(c.inputs[0].shape, c.inputs[1].shape).size(name)});
  return Shape(dims);
}

constexpr const char* kLabels[] = {"", "_relu", "_relu_gradient", "_relu_with_mask", "_relu_gradient_by_mask"};

// Bit c % 32 of word c / 32, as the doubles that stand for words have it.
bool bit_of(const Tensor& mask, int64_t row, int64_t column) {
  const auto words = mask.shape.dims()[1].size;
  const auto word =
      static_cast<uint32_t>(static_cast<int64_t>(mask.data[static_cast<size_t>(row * words + column / 32)]));
  return (word >> column % 32 & 1) != 0;
}

// The mask of y, with no bit set behind its rows.
Tensor mask_of(const Tensor& y) {
  Tensor mask{mask_type({DType::kFloat64, y.shape}).shape};
  const int64_t columns = y.shape.dims().back().size, words = mask.shape.dims()[1].size;
  std::vector<uint32_t> bits(mask.data.size());
  for (size_t i = 0; i < y.data.size(); ++i) {
    const auto row = static_cast<int64_t>(i) / columns, column = static_cast<int64_t>(i) % columns;
    if (y.data[i] > 0) bits[static_cast<size_t>(row * words + column / 32)] |= uint32_t{1} << column % 32;
  }
  for (size_t i = 0; i < bits.size(); ++i) mask.data[i] = static_cast<int32_t>(bits[i]);
  return mask;
}

// The same with a bias of the last `biased` dims (0: none) and an epilogue, whose values are the row's as they would be
// without.
OpCase with_epilogue(OpCase c, const DimNames& output, Epilogue epilogue, size_t biased = 0) {
  const bool gated = epilogue == Epilogue::kReluGradient, masked = epilogue == Epilogue::kReluGradientByMask;
  const bool has_relu = epilogue == Epilogue::kRelu || epilogue == Epilogue::kReluWithMask;
  c.label += fmt::format("{}{}", biased > 0 ? "_bias" : "", kLabels[static_cast<size_t>(epilogue)]);
  c.has_gradient = false;
  const Shape y_shape = output_shape(c, output);
  if (biased > 0) {
    const std::vector<Dim>& dims = y_shape.dims();
    c.inputs.push_back({"bias", Shape(std::vector<Dim>(dims.end() - static_cast<std::ptrdiff_t>(biased), dims.end()))});
  }
  if (gated) c.inputs.push_back({"relu", y_shape});
  if (masked) {
    // Any bits, behind the rows too.
    c.inputs.push_back(
        {"mask", mask_type({DType::kFloat64, y_shape}).shape, -2147483648.0, 2147483647.0, DType::kInt32});
    c.all_rules = false;
  }
  c.build = [=](Graph& g, In in, DType) {
    return g.add(std::make_shared<Einsum>(output, false, epilogue, biased > 0), in);
  };
  c.reference = [=, plain = c.reference](const std::vector<Tensor>& in) {
    std::vector<Tensor> y = plain(in);
    const int64_t columns = y_shape.rank() == 0 ? 1 : y_shape.dims().back().size;
    for (size_t i = 0; i < y[0].data.size(); ++i) {
      double& x = y[0].data[i];
      if (biased > 0) x += in[2].data[i % in[2].data.size()];
      const auto at = static_cast<int64_t>(i);
      if ((has_relu && x < 0) || (gated && in.back().data[i] <= 0) ||
          (masked && !bit_of(in.back(), at / columns, at % columns)))
        x = 0;
    }
    if (epilogue == Epilogue::kReluWithMask) y.push_back(mask_of(y[0]));
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
  const OpCase plain[] = {
      row("product", {batch, length, model}, {model, ff}, to_ff),
      row("deep", {batch, length, kModel(2100)}, {kModel(2100), ff}, to_ff),
      row("small", {kBatch(1), kLength(3), model}, {model, kFf(2)}, to_ff),
  };
  const OpCase two_inner = row("two_inner", {batch, length, heads, head}, {heads, length, head}, to_heads);
  const OpCase even = row("even", {kBatch(4), kLength(8), kModel(12)}, {kModel(12), kFf(4)}, to_ff, true);
  for (const Epilogue epilogue : {Epilogue::kRelu, Epilogue::kReluGradient}) {
    for (const OpCase& c : plain) rows.push_back(with_epilogue(c, to_ff, epilogue));
    rows.push_back(with_epilogue(two_inner, to_heads, epilogue));
    rows.push_back(with_epilogue(even, to_ff, epilogue));
  }
  for (const Epilogue epilogue : {Epilogue::kNone, Epilogue::kRelu}) {
    for (const OpCase& c : plain) rows.push_back(with_epilogue(c, to_ff, epilogue, 1));
    rows.push_back(with_epilogue(even, to_ff, epilogue, 1));
    // Dims of one operand, the columns' or the rows' of the product that is made.
    const DimNames joined = {"batch", "length", "heads", "head"};
    rows.push_back(
        with_epilogue(row("projection", {batch, length, model}, {model, heads, head}, joined), joined, epilogue, 2));
    rows.push_back(
        with_epilogue(row("apart", {batch, length, model}, {heads, model, head}, joined), joined, epilogue, 2));
    rows.push_back(
        with_epilogue(row("swapped", {model, heads, head}, {batch, length, model}, joined), joined, epilogue, 1));
    const DimNames to_keys = {"batch", "heads", "length", "memory_length"};
    rows.push_back(
        with_epilogue(row("dense", {batch, length, heads, head}, {heads, head, keys}, to_keys), to_keys, epilogue, 1));
  }
  // (A sum that is rounded before its bias comes may have the other sign.)
  for (const Epilogue epilogue : {Epilogue::kReluWithMask, Epilogue::kReluGradientByMask})
    for (const OpCase& c : plain) rows.push_back(with_epilogue(c, to_ff, epilogue));
  // Of several words, and of rows that another product makes of columns.
  const Dim wide = kFf(161);
  for (const Epilogue epilogue : {Epilogue::kReluWithMask, Epilogue::kReluGradientByMask})
    rows.push_back(
        with_epilogue(row("words", {length, model}, {wide, model}, {"length", "ff"}), {"length", "ff"}, epilogue));
  return rows;
}

}  // namespace synthesizer
