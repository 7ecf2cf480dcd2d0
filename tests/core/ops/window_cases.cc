#include "core/ops/window.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

struct Size {
  std::string label;
  Shape u;
  int64_t window, before;
  bool all_rules = false;
};

// Odd and even widths, causal and not, a window longer than the sequence, one channel a head.
const std::vector<Size> kSizes = {
    {"odd", {kBatch(3), kLength(31), kHeads(1), kHead(33)}, 3, 1},
    {"one", {kBatch(1), kLength(5), kHeads(3), kHead(2)}, 1, 0},
    {"even_causal", {kBatch(2), kLength(7), kHeads(3), kHead(5)}, 4, 3},
    {"longer_than_the_sequence", {kBatch(2), kLength(3), kHeads(2), kHead(3)}, 9, 4},
    {"wide_heads", {kBatch(2), kLength(11), kHeads(2), kHead(72)}, 9, 8},
    {"channels", {kBatch(2), kLength(7), kHeads(11), kHead(1)}, 5, 2},
    {"even", {kBatch(4), kLength(8), kHeads(4), kHead(8)}, 2, 0, true},
};

// What place w of the window at `i` sees of u, 0 outside.
double seen(const Tensor& u, const Index& i, int64_t w, int64_t before) {
  const int64_t at = i.at("length") + w - before;
  return at >= 0 && at < u.shape.size("length") ? u(with(i, "length", at)) : 0;
}

Shape unfolded(const Size& size) {
  std::vector<Dim> dims = size.u.dims();
  dims.insert(dims.begin() + 2, kWindow(size.window));
  return Shape(dims);
}

OpCase base(const std::string& op, const Size& size) {
  OpCase c;
  c.op = op;
  c.label = size.label;
  c.all_rules = size.all_rules;
  return c;
}

OpCase unfold_row(const Size& size) {
  OpCase c = base("unfold", size);
  c.inputs = {{"x", size.u}};
  c.build = [size](Graph&, In in, DType) {
    return std::vector{unfold(in[0], "length", kWindow(size.window), size.before)};
  };
  c.reference = [size](const auto& in) {
    return std::vector{
        tabulate(unfolded(size), [&](const Index& i) { return seen(in[0], i, i.at("window"), size.before); })};
  };
  c.flops = 0;
  return c;
}

OpCase fold_row(const Size& size) {
  OpCase c = base("fold", size);
  c.inputs = {{"x", unfolded(size)}};
  c.build = [size](Graph& g, In in, DType) {
    return std::vector{g.add_one(std::make_shared<Fold>("length", kWindow(size.window), size.before), in)};
  };
  c.reference = [size](const auto& in) {
    Tensor y(size.u);
    each(in[0].shape, [&](Index i) {
      const double x = in[0](i);
      i["length"] += i["window"] - size.before;
      if (i["length"] >= 0 && i["length"] < size.u.size("length")) y(i) += x;
    });
    return std::vector{y};
  };
  c.flops = unfolded(size).elements();
  return c;
}

Shape weights(const Size& size, bool own) {
  const Dim heads = size.u.dims()[2], window = kWindow(size.window);
  return own ? Shape{size.u.dims()[0], size.u.dims()[1], heads, window} : Shape{heads, window};
}

OpCase window_row(const Size& size, bool own) {
  OpCase c = base("window", size);
  c.label += own ? "_own" : "_shared";
  c.inputs = {{"u", size.u}, {"weights", weights(size, own)}};
  c.build = [size](Graph&, In in, DType) { return std::vector{window(in[0], in[1], size.before)}; };
  c.reference = [size](const auto& in) {
    return std::vector{tabulate(size.u, [&](const Index& i) {
      double sum = 0;
      for (int64_t w = 0; w < size.window; ++w) sum += seen(in[0], i, w, size.before) * in[1](with(i, "window", w));
      return sum;
    })};
  };
  c.flops = 2 * size.u.elements() * size.window;
  return c;
}

OpCase window_gradient_row(const Size& size, bool own) {
  OpCase c = base("window_gradient", size);
  c.label += own ? "_own" : "_shared";
  c.inputs = {{"u", size.u}, {"weights", weights(size, own)}, {"dy", size.u}};
  c.build = [size](Graph& g, In in, DType) { return g.add(std::make_shared<WindowGradient>(size.before), in); };
  c.reference = [size](const auto& in) {
    Tensor du(in[0].shape), dweights(in[1].shape);
    each(size.u, [&](const Index& i) {
      for (int64_t w = 0; w < size.window; ++w) {
        const Index there = with(i, "window", w);
        const int64_t at = i.at("length") + w - size.before;
        if (at < 0 || at >= size.u.size("length")) continue;
        du(with(i, "length", at)) += in[2](i) * in[1](there);
        dweights(there) += in[2](i) * seen(in[0], i, w, size.before);
      }
    });
    return std::vector{du, dweights};
  };
  c.has_gradient = false;
  c.flops = 4 * size.u.elements() * size.window;
  return c;
}

}  // namespace

std::vector<OpCase> window_cases() {
  std::vector<OpCase> rows;
  for (const Size& size : kSizes) {
    rows.push_back(unfold_row(size));
    rows.push_back(fold_row(size));
    for (const bool own : {false, true}) {
      rows.push_back(window_row(size, own));
      rows.push_back(window_gradient_row(size, own));
    }
  }
  return rows;
}

}  // namespace synthesizer
