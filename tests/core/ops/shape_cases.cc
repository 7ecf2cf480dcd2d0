#include "core/ops/shape.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

OpCase row(const std::string& op, const std::string& label, const Shape& shape, std::function<Value(Value)> build,
           std::function<Tensor(const Tensor&)> reference, bool all_rules = false) {
  OpCase c;
  c.op = op;
  c.label = label;
  c.inputs = {{"x", shape}};
  c.build = [=](Graph&, In in, DType) { return std::vector{build(in[0])}; };
  c.reference = [=](const auto& in) { return std::vector{reference(in[0])}; };
  c.flops = 0;
  c.all_rules = all_rules;
  return c;
}

OpCase slice_row(const std::string& label, const Shape& shape, const std::string& dim, int64_t begin, int64_t size,
                 bool all_rules = false) {
  return row(
      "slice", label, shape, [=](Value x) { return slice(x, dim, begin, size); },
      [=](const Tensor& x) {
        return tabulate(shape.with_size(dim, size), [&](Index i) {
          i[dim] += begin;
          return x(i);
        });
      },
      all_rules);
}

OpCase pad_row(const std::string& label, const Shape& shape, const std::string& dim, int64_t before, int64_t after,
               bool all_rules = false) {
  return row(
      "pad", label, shape, [=](Value x) { return pad(x, dim, before, after); },
      [=](const Tensor& x) {
        return tabulate(shape.with_size(dim, before + shape.size(dim) + after), [&](Index i) {
          i[dim] -= before;
          return i[dim] >= 0 && i[dim] < shape.size(dim) ? x(i) : 0;
        });
      },
      all_rules);
}

OpCase slice_at_row(const std::string& label, const Shape& shape, const std::string& dim, double position,
                    bool all_rules = false) {
  OpCase c;
  c.op = "slice_at";
  c.label = label;
  c.inputs = {{"x", shape}, {"position", {}, position, position, DType::kInt64}};
  c.build = [=](Graph&, In in, DType) { return std::vector{slice_at(in[0], dim, in[1])}; };
  c.reference = [=](const auto& in) {
    const auto at = static_cast<int64_t>(in[1].data[0]);
    return std::vector{tabulate(shape.without(dim), [&](const Index& i) { return in[0](with(i, dim, at)); })};
  };
  c.has_gradient = false;
  c.all_rules = all_rules;
  return c;
}

// The same numbers in the same order.
Tensor reshaped(const Tensor& x, const Shape& shape) {
  Tensor y(shape);
  y.data = x.data;
  return y;
}

}  // namespace

std::vector<OpCase> shape_cases() {
  const Shape odd{kBatch(3), kLength(31), kHeads(1), kModel(33)};
  const Shape even{kBatch(4), kLength(8), kHeads(4)};
  return {
      row(
          "reshape", "rename", even, [](Value x) { return rename(x, "length", "memory_length"); },
          [](const Tensor& x) {
            return reshaped(x, {kBatch(4), kMemoryLength(8), kHeads(4)});
          },
          true),
      row(
          "reshape", "merge", odd,
          [](Value x) {
            return merge(x, {"length", "heads", "model"}, "ff");
          },
          [](const Tensor& x) {
            return reshaped(x, {kBatch(3), kFf(31 * 33)});
          }),
      row(
          "reshape", "split", odd,
          [](Value x) {
            return split(x, "model", {kFactorA(3), kFactorB(11)});
          },
          [](const Tensor& x) {
            return reshaped(x, {kBatch(3), kLength(31), kHeads(1), kFactorA(3), kFactorB(11)});
          }),
      row(
          "reshape", "merge_even", even,
          [](Value x) {
            return merge(x, {"length", "heads"}, "ff");
          },
          [](const Tensor& x) {
            return reshaped(x, {kBatch(4), kFf(32)});
          },
          true),
      slice_row("first", odd, "length", 0, 17),
      slice_row("inside", odd, "length", 3, 1),
      slice_row("last_dim", odd, "model", 1, 32),
      slice_row("first_dim", odd, "batch", 2, 1),
      slice_row("whole", odd, "length", 0, 31),
      slice_row("even", even, "length", 3, 3, true),
      pad_row("both", odd, "length", 1, 3),
      pad_row("last_dim", odd, "model", 5, 0),
      pad_row("first_dim", odd, "batch", 0, 1),
      pad_row("nothing", odd, "length", 0, 0),
      pad_row("even", even, "length", 2, 1, true),
      slice_at_row("first", odd, "length", 0),
      slice_at_row("last", odd, "length", 30),
      slice_at_row("last_dim", odd, "model", 17),
      slice_at_row("first_dim", odd, "batch", 1),
      slice_at_row("even", even, "length", 5, true),
  };
}

}  // namespace synthesizer
