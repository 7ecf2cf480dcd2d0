#include "core/kernels/cpu/attention/scores_apart.h"

#include <type_traits>

#include "core/kernels/cpu/attention/pack.h"
#include "core/kernels/cpu/parallel.h"

namespace synthesizer {
namespace {

Product start(const AttentionShape& s, int64_t m, int64_t n, int64_t k, bool accumulate) {
  Product p;
  p.dtype = s.dtype;
  p.wide = true;  // scores and sums
  p.m = m;
  p.n = n;
  p.k = k;
  p.c = {{0, 0}, n, 1};
  p.accumulate = accumulate;
  return p;
}

// Where the keys of a pair are, by head: [width, memory].
MatrixStrides keys_of(const AttentionShape& s, const AttentionShape::Pair& pair) {
  if (pair.heads_second) return {{s.memory, 0}, s.heads * s.memory, 1};
  return {{pair.width * s.memory, 0}, s.memory, 1};
}

// Of all heads: [heads, count·length, memory] = queries [count·length, width] · keys.
Product scores_of(const AttentionShape& s, const AttentionShape::Pair& pair, int64_t count, bool accumulate) {
  Product p = start(s, count * s.length, s.memory, pair.width, accumulate);
  p.batch[0] = s.heads;
  p.a = {{0, 0}, pair.width, 1};
  p.b = keys_of(s, pair);
  p.c.batch[0] = p.m * p.n;
  return p;
}

// Of one head: [count·length, width] += dS [count·length, memory] · keysᵀ.
Product queries_gradient(const AttentionShape& s, const AttentionShape::Pair& pair, int64_t count, bool accumulate) {
  Product p = start(s, count * s.length, pair.width, s.memory, accumulate);
  p.a = {{0, 0}, s.memory, 1};
  p.b = {{0, 0}, 1, keys_of(s, pair).row};
  return p;
}

// Of all heads: keys' gradients += queriesᵀ · dS.
Product keys_gradient(const AttentionShape& s, const AttentionShape::Pair& pair, int64_t count, bool accumulate) {
  Product p = start(s, pair.width, s.memory, count * s.length, accumulate);
  p.batch[0] = s.heads;
  p.a = {{0, 0}, 1, pair.width};
  p.b = {{p.k * s.memory, 0}, s.memory, 1};
  p.c = keys_of(s, pair);
  return p;
}

bool is_product(const AttentionShape::Pair& pair) { return pair.kind == PairKind::kCommon; }

template <typename E>
constexpr bool kRounds = !std::is_same_v<E, Compute<E>>;

}  // namespace

template <typename E>
ScoresApart<E>::Scratch::Scratch(const AttentionShape& s, bool with_gradients, std::byte* memory) {
  Carver carver(memory);
  const int64_t rows = s.examples_at_a_time() * s.length, all = s.heads * rows * s.memory;
  int64_t widest = 0, widths = 0;
  scores = carver.take<T>(all);
  for (const auto& pair : s.apart) {
    if (!is_product(pair)) continue;
    widths += pair.width;
    widest = std::max(widest, pair.width);
  }
  keys = carver.take<E>(kRounds<E> ? s.heads * widths * s.memory : 0);
  gradients = carver.take<E>(with_gradients ? all : 0);
  queries = carver.take<T>(with_gradients && kRounds<E> ? rows * widest : 0);
  bytes = carver.used();
}

template <typename E>
ScoresApart<E>::ScoresApart(const AttentionShape& s, const CpuContext& context, bool gradients)
    : s_(s), context_(context), gradients_(gradients) {
  const auto make = [&](const Product& p) { return make_gemm(p, context.gemm_threads(), context.counters); };
  int64_t keys = 0;
  for (size_t p = 0; p < s.apart.size(); ++p) {
    auto& both = products_.emplace_back();
    const auto& pair = s.apart[p];
    const int64_t most = s.examples_at_a_time();
    first_key_.push_back(keys);
    if (is_product(pair)) keys += s.heads * pair.width * s.memory;
    for (const int64_t count : {most, s.batch % most}) {
      if (count == 0 || !is_product(pair)) continue;
      Products& of = both[count == most ? 0 : 1];
      of.scores = make(scores_of(s, pair, count, p > 0));
      if (!gradients) continue;
      of.first_queries = make(queries_gradient(s, pair, count, false));
      of.queries = make(queries_gradient(s, pair, count, true));
      of.first_keys = make(keys_gradient(s, pair, count, false));
      of.keys = make(keys_gradient(s, pair, count, true));
    }
  }
}

template <typename E>
int64_t ScoresApart<E>::workspace(const AttentionShape& s, const CpuContext& context, bool gradients) {
  if (!s.has_apart()) return 0;
  int64_t of_products = 0;
  const auto add = [&](const Product& p) {
    of_products = std::max(of_products, gemm_workspace(p, context.gemm_threads()));
  };
  const int64_t most = s.examples_at_a_time();
  for (const auto& pair : s.apart)
    for (const int64_t count : {most, s.batch % most})
      for (const bool accumulate : {false, true}) {
        if (count == 0 || !is_product(pair)) continue;
        add(scores_of(s, pair, count, accumulate));
        if (!gradients) continue;
        add(queries_gradient(s, pair, count, accumulate));
        add(keys_gradient(s, pair, count, accumulate));
      }
  return Scratch(s, gradients, nullptr).bytes + of_products;
}

template <typename E>
void ScoresApart<E>::begin(std::span<void* const> inputs, std::byte* workspace) {
  if (!s_.has_apart()) return;
  scratch_ = Scratch(s_, gradients_, workspace);
  product_space_ = workspace + scratch_.bytes;
  for (size_t p = 0; p < s_.apart.size(); ++p) {
    const auto& pair = s_.apart[p];
    if (is_product(pair))
      rounded_weights<E>(context_, input<T>(inputs, 2 * pair.at + 1), s_.heads * pair.width * s_.memory,
                         scratch_.keys + first_key_[p]);
  }
}

template <typename E>
const E* ScoresApart<E>::keys(std::span<void* const> inputs, size_t pair) const {
  return kRounds<E> ? scratch_.keys + first_key_[pair] : input<E>(inputs, 2 * s_.apart[pair].at + 1);
}

template <typename E>
void ScoresApart<E>::run_scores(std::span<void* const> inputs, int64_t first, int64_t count) {
  first_ = first;
  count_ = count;
  for (size_t p = 0; p < s_.apart.size(); ++p) {
    const auto& pair = s_.apart[p];
    if (!is_product(pair) && p == 0)
      each_query([&](int64_t b, int64_t h, int64_t i) { std::fill_n(scores(b, h, i), s_.memory, T(0)); });
    if (is_product(pair))
      products(p).scores->run(input<E>(inputs, 2 * pair.at) + first * s_.length * pair.width, keys(inputs, p),
                              scratch_.scores, product_space_);
    else
      add_outer(inputs, pair);
  }
}

template <typename E>
void ScoresApart<E>::run_gradients(std::span<void* const> inputs, std::span<void* const> outputs) const {
  const int64_t rows = count_ * s_.length;
  for (size_t p = 0; p < s_.apart.size(); ++p) {
    const auto& pair = s_.apart[p];
    if (!is_product(pair)) {
      outer_gradients(inputs, outputs, pair);
      continue;
    }
    const Products& of = products(p);
    const int64_t before = first_ * s_.length * pair.width;
    // Keys first: queries' gradients may take the place of queries.
    (first_ == 0 ? of.first_keys : of.keys)
        ->run(input<E>(inputs, 2 * pair.at) + before, scratch_.gradients, output<T>(outputs, 2 * pair.at + 1),
              product_space_);
    E* const to = output<E>(outputs, 2 * pair.at) + before;
    T* const sums = kRounds<E> ? scratch_.queries : reinterpret_cast<T*>(to);
    for (int64_t h = 0; h < s_.heads; ++h)
      (h == 0 ? of.first_queries : of.queries)
          ->run(scratch_.gradients + h * rows * s_.memory, keys(inputs, p) + h * keys_of(s_, pair).batch[0], sums,
                product_space_);
    if constexpr (kRounds<E>) rounded_weights<E>(context_, sums, rows * pair.width, to);
  }
}

// visit(b, h, i), rows that lie side by side one after the other.
template <typename E>
template <typename Visit>
void ScoresApart<E>::each_query(Visit visit) const {
  parallel_ranges(context_.threads, s_.heads * count_ * s_.length, s_.memory, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t i = n % s_.length, of = n / s_.length;
      visit(first_ + of % count_, of / count_, i);
    }
  });
}

template <typename E>
void ScoresApart<E>::add_outer(std::span<void* const> inputs, const AttentionShape::Pair& pair) const {
  const E* const first = input<E>(inputs, 2 * pair.at);
  const E* const second = input<E>(inputs, 2 * pair.at + 1);
  each_query([&](int64_t b, int64_t h, int64_t i) {
    const E* const x = first + s_.at(b, s_.length, i, h, pair.width);
    const E* const y = second + s_.at(b, s_.length, i, h, pair.second);
    T* const to = scores(b, h, i);
    for (int64_t a = 0, j = 0; j < s_.memory; ++a, j += pair.second) {
      const T factor = widened(x[a]);
      const int64_t count = std::min(pair.second, s_.memory - j);
      for (int64_t n = 0; n < count; ++n) to[j + n] += factor * widened(y[n]);
    }
  });
}

// Of a query both factors are read before one's gradient takes its place.
template <typename E>
void ScoresApart<E>::outer_gradients(std::span<void* const> inputs, std::span<void* const> outputs,
                                     const AttentionShape::Pair& pair) const {
  const E* const first = input<E>(inputs, 2 * pair.at);
  const E* const second = input<E>(inputs, 2 * pair.at + 1);
  E* const dfirst = output<E>(outputs, 2 * pair.at);
  E* const dsecond = output<E>(outputs, 2 * pair.at + 1);
  each_query([&](int64_t b, int64_t h, int64_t i) {
    const int64_t at_x = s_.at(b, s_.length, i, h, pair.width), at_y = s_.at(b, s_.length, i, h, pair.second);
    const E *const x = first + at_x, *const y = second + at_y, *const ds = score_gradients(b, h, i);
    // The scores are not read any more: their row has room for the sums of the second factor.
    T* const dy = scores(b, h, i);
    const int64_t room = std::min(pair.second, s_.memory);
    std::fill_n(dy, room, T(0));
    for (int64_t a = 0; a < pair.width; ++a) {
      const int64_t j = a * pair.second, count = std::clamp<int64_t>(s_.memory - j, 0, pair.second);
      const T factor = widened(x[a]);
      T dx = 0;
      for (int64_t n = 0; n < count; ++n) {
        const T gradient = widened(ds[j + n]);
        dx += gradient * widened(y[n]);
        dy[n] += factor * gradient;
      }
      dfirst[at_x + a] = rounded<E>(dx);
    }
    for (int64_t n = 0; n < pair.second; ++n) dsecond[at_y + n] = rounded<E>(n < room ? dy[n] : T(0));
  });
}

template class ScoresApart<float>;
template class ScoresApart<double>;
template class ScoresApart<BFloat16>;

}  // namespace synthesizer
