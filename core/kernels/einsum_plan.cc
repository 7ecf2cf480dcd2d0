#include "core/kernels/einsum_plan.h"

#include <algorithm>
#include <array>

#include "core/kernels/geometry.h"

namespace synthesizer {
namespace {

using Dims = std::vector<EinsumDim>;

// b follows a in every tensor: a.stride == b.stride · b.size.
bool follows(const EinsumDim& a, const EinsumDim& b) {
  return a.a == b.a * b.size && a.b == b.b * b.size && a.c == b.c * b.size;
}

void merge(Dims& dims) {
  for (size_t i = 0; i < dims.size(); ++i) {
    for (size_t j = 0; j < dims.size(); ++j) {
      if (i == j || !follows(dims[i], dims[j])) continue;
      dims[j].size *= dims[i].size;
      dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(i));
      return merge(dims);
    }
  }
}

struct Classes {
  Dims batch, m, n, k;
};

Classes classify(const Shape& a, const Shape& b, const Shape& c) {
  Classes classes;
  const auto add = [&](const Dim& dim) {
    if (dim.size == 1) return;
    const bool in_a = a.has(dim.name), in_b = b.has(dim.name), in_c = c.has(dim.name);
    Dims& kind = !in_c ? classes.k : in_a && in_b ? classes.batch : in_a ? classes.m : classes.n;
    kind.push_back({dim.size, stride_of(a, dim.name), stride_of(b, dim.name), stride_of(c, dim.name)});
  };
  for (const Dim& dim : c.dims()) add(dim);
  for (const Dim& dim : a.dims())
    if (!c.has(dim.name)) add(dim);
  for (Dims* dims : {&classes.batch, &classes.m, &classes.n, &classes.k}) merge(*dims);
  return classes;
}

void exchange(Classes& classes) {
  std::swap(classes.m, classes.n);
  for (Dims* dims : {&classes.batch, &classes.m, &classes.n, &classes.k})
    for (EinsumDim& dim : *dims) std::swap(dim.a, dim.b);
}

// dims[i], or a dim of size 1 for i == dims.size().
EinsumDim at(const Dims& dims, size_t i) { return i < dims.size() ? dims[i] : EinsumDim{}; }

void append_others(Dims& to, const Dims& dims, size_t chosen) {
  for (size_t i = 0; i < dims.size(); ++i)
    if (i != chosen) to.push_back(dims[i]);
}

// Whether a library can take these dims as a matrix product: unit strides where gemm.h asks for them.
bool fits(const EinsumDim& m, const EinsumDim& n, const EinsumDim& k) {
  const auto unit = [](const EinsumDim& x, int64_t x_stride, const EinsumDim& y, int64_t y_stride) {
    return (x.size == 1 && y.size == 1) || (x.size > 1 && x_stride == 1) || (y.size > 1 && y_stride == 1);
  };
  return (n.size == 1 ? m.size == 1 || m.c > 0 : n.c == 1) && unit(m, m.a, k, k.a) && unit(k, k.b, n, n.b);
}

struct Choice {
  std::array<size_t, 3> index{};
  int64_t score = 0;
};

// The m, n and k with the largest product among those that fit; a dim may be left out (index = count).
Choice choose(const Classes& classes) {
  Choice best;
  for (size_t i = 0; i <= classes.m.size(); ++i)
    for (size_t j = 0; j <= classes.n.size(); ++j)
      for (size_t l = 0; l <= classes.k.size(); ++l) {
        const EinsumDim m = at(classes.m, i), n = at(classes.n, j), k = at(classes.k, l);
        const int64_t score = m.size * n.size * k.size;
        if (score > best.score && fits(m, n, k)) best = {{i, j, l}, score};
      }
  return best;
}

// A library call costs a microsecond or so: below this many multiply-adds our own loops are faster.
constexpr int64_t kSmallest = 4096;
constexpr int64_t kLarge = 1 << 22;  // enough for all threads

EinsumPlan with_choice(const Classes& classes, const Choice& choice, EinsumPlan::Kind kind, bool swapped) {
  EinsumPlan plan;
  plan.kind = kind;
  plan.swapped = swapped;
  plan.m = at(classes.m, choice.index[0]);
  plan.n = at(classes.n, choice.index[1]);
  plan.k = at(classes.k, choice.index[2]);
  plan.loops = classes.batch;
  append_others(plan.loops, classes.m, choice.index[0]);
  append_others(plan.loops, classes.n, choice.index[1]);
  append_others(plan.sums, classes.k, choice.index[2]);
  std::stable_sort(plan.loops.begin(), plan.loops.end(),
                   [](const EinsumDim& x, const EinsumDim& y) { return x.c > y.c; });
  return plan;
}

// The two largest loops become the library's batch dims, the one with the larger stride in C first.
void take_batch(EinsumPlan& plan) {
  for (int i = 0; i < 2 && !plan.loops.empty(); ++i) {
    const auto largest = std::max_element(plan.loops.begin(), plan.loops.end(),
                                          [](const EinsumDim& x, const EinsumDim& y) { return x.size < y.size; });
    plan.batch[i] = *largest;
    plan.loops.erase(largest);
  }
  if (plan.batch[0].c < plan.batch[1].c) std::swap(plan.batch[0], plan.batch[1]);
}

size_t largest(const Dims& dims) {
  const auto found = std::max_element(dims.begin(), dims.end(),
                                      [](const EinsumDim& x, const EinsumDim& y) { return x.size < y.size; });
  return static_cast<size_t>(found - dims.begin());
}

EinsumPlan plan_small(const Classes& classes, bool swapped) {
  if (!classes.m.empty() || !classes.n.empty() || classes.batch.empty()) {
    const Choice choice{{largest(classes.m), largest(classes.n), largest(classes.k)}, 1};
    return with_choice(classes, choice, EinsumPlan::Kind::kSmall, swapped);
  }
  // Like an elementwise product: along the batch dim that lies densest in C.
  Classes rest = classes;
  const auto run = std::min_element(rest.batch.begin(), rest.batch.end(),
                                    [](const EinsumDim& x, const EinsumDim& y) { return x.c < y.c; });
  const EinsumDim m = *run;
  rest.batch.erase(run);
  EinsumPlan plan = with_choice(rest, {{0, 0, largest(classes.k)}, 1}, EinsumPlan::Kind::kRuns, swapped);
  plan.m = m;
  return plan;
}

}  // namespace

EinsumOffsets einsum_offsets(const std::vector<EinsumDim>& dims, int64_t index) {
  EinsumOffsets at;
  for (size_t d = dims.size(); d-- > 0;) {
    const int64_t i = index % dims[d].size;
    index /= dims[d].size;
    at.a += i * dims[d].a;
    at.b += i * dims[d].b;
    at.c += i * dims[d].c;
  }
  return at;
}

int64_t EinsumPlan::loop_count() const {
  int64_t n = 1;
  for (const EinsumDim& dim : loops) n *= dim.size;
  return n;
}

int64_t EinsumPlan::sum_count() const {
  int64_t n = 1;
  for (const EinsumDim& dim : sums) n *= dim.size;
  return n;
}

Product EinsumPlan::product(DType dtype, bool wide, bool accumulate) const {
  Product p;
  p.dtype = dtype;
  p.wide = wide;
  p.m = m.size;
  p.n = n.size;
  p.k = k.size;
  for (int i = 0; i < 2; ++i) {
    p.batch[i] = batch[i].size;
    p.a.batch[i] = batch[i].a;
    p.b.batch[i] = batch[i].b;
    p.c.batch[i] = batch[i].c;
  }
  p.a.row = m.a;
  p.a.column = k.a;
  p.b.row = k.b;
  p.b.column = n.b;
  p.c.row = m.c;
  p.c.column = n.size == 1 ? 1 : n.c;
  p.accumulate = accumulate;
  return p;
}

bool EinsumPlan::add_bias(int64_t elements, Product& product) const {
  const auto whole = [&](const EinsumDim& dim) { return dim.size == 1 || dim.c % elements == 0; };
  // Outside of it, or a part of what its elements are walked by.
  const auto fits = [&](const EinsumDim& dim) { return whole(dim) || dim.c * dim.size <= elements; };
  if (kind != Kind::kProducts || sum_count() > 1 || n.size == 1 || n.c != 1) return false;
  if (elements % n.size != 0 || !whole(m) || !fits(batch[0]) || !fits(batch[1])) return false;
  product.bias = true;
  for (int i = 0; i < 2; ++i) product.bias_batch[i] = whole(batch[i]) ? 0 : batch[i].c;
  return true;
}

EinsumPlan plan_einsum(const Shape& a, const Shape& b, const Shape& c) {
  Classes classes = classify(a, b, c);
  Classes exchanged = classes;
  exchange(exchanged);
  const Choice straight = choose(classes), other = choose(exchanged);
  const bool swap = other.score > straight.score;
  const Classes& best = swap ? exchanged : classes;
  const Choice& choice = swap ? other : straight;
  if (choice.score < kSmallest) return plan_small(classes, false);
  EinsumPlan plan = with_choice(best, choice, EinsumPlan::Kind::kProducts, swap);
  // Where large products add up, each C is finished before the next is begun, so that it stays in the cache.
  if (plan.sums.empty() || choice.score < kLarge) take_batch(plan);
  return plan;
}

}  // namespace synthesizer
