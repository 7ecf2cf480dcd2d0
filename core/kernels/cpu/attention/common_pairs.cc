#include "core/kernels/cpu/attention/common_pairs.h"

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

// Of all heads: [heads, count·length, memory] = queries [count·length, width] · keys [heads, width, memory].
Product scores_of(const AttentionShape& s, int64_t width, int64_t count, bool accumulate) {
  Product p = start(s, count * s.length, s.memory, width, accumulate);
  p.batch[0] = s.heads;
  p.a = {{0, 0}, width, 1};
  p.b = {{width * s.memory, 0}, s.memory, 1};
  p.c.batch[0] = p.m * p.n;
  return p;
}

// Of one head: [count·length, width] += dS [count·length, memory] · keysᵀ.
Product queries_gradient(const AttentionShape& s, int64_t width, int64_t count, bool accumulate) {
  Product p = start(s, count * s.length, width, s.memory, accumulate);
  p.a = {{0, 0}, s.memory, 1};
  p.b = {{0, 0}, 1, s.memory};
  return p;
}

// Of all heads: [heads, width, memory] += queriesᵀ · dS.
Product keys_gradient(const AttentionShape& s, int64_t width, int64_t count, bool accumulate) {
  Product p = start(s, width, s.memory, count * s.length, accumulate);
  p.batch[0] = s.heads;
  p.a = {{0, 0}, 1, width};
  p.b = {{p.k * s.memory, 0}, s.memory, 1};
  p.c.batch[0] = width * s.memory;
  return p;
}

template <typename E>
constexpr bool kRounds = !std::is_same_v<E, Compute<E>>;

}  // namespace

template <typename E>
CommonPairs<E>::Scratch::Scratch(const AttentionShape& s, bool with_gradients, std::byte* memory) {
  Carver carver(memory);
  const int64_t rows = s.examples_at_a_time() * s.length, all = s.heads * rows * s.memory;
  int64_t widest = 0;
  scores = carver.take<T>(all);
  for (const auto& pair : s.common) {
    keys.push_back(kRounds<E> ? carver.take<E>(s.heads * pair.width * s.memory) : nullptr);
    widest = std::max(widest, pair.width);
  }
  gradients = carver.take<E>(with_gradients ? all : 0);
  queries = carver.take<T>(with_gradients && kRounds<E> ? rows * widest : 0);
  bytes = carver.used();
}

template <typename E>
CommonPairs<E>::CommonPairs(const AttentionShape& s, const CpuContext& context, bool gradients)
    : s_(s), context_(context) {
  const auto make = [&](const Product& p) { return make_gemm(p, context.gemm_threads(), context.counters); };
  for (size_t p = 0; p < s.common.size(); ++p) {
    auto& both = products_.emplace_back();
    const int64_t width = s.common[p].width, most = s.examples_at_a_time();
    for (const int64_t count : {most, s.batch % most}) {
      if (count == 0) continue;
      Products& of = both[count == most ? 0 : 1];
      of.scores = make(scores_of(s, width, count, p > 0));
      if (!gradients) continue;
      of.first_queries = make(queries_gradient(s, width, count, false));
      of.queries = make(queries_gradient(s, width, count, true));
      of.first_keys = make(keys_gradient(s, width, count, false));
      of.keys = make(keys_gradient(s, width, count, true));
    }
  }
}

template <typename E>
int64_t CommonPairs<E>::workspace(const AttentionShape& s, const CpuContext& context, bool gradients) {
  if (!s.has_common()) return 0;
  int64_t of_products = 0;
  const auto add = [&](const Product& p) {
    of_products = std::max(of_products, gemm_workspace(p, context.gemm_threads()));
  };
  const int64_t most = s.examples_at_a_time();
  for (const auto& pair : s.common)
    for (const int64_t count : {most, s.batch % most})
      for (const bool accumulate : {false, true}) {
        if (count == 0) continue;
        add(scores_of(s, pair.width, count, accumulate));
        if (!gradients) continue;
        add(queries_gradient(s, pair.width, count, accumulate));
        add(keys_gradient(s, pair.width, count, accumulate));
      }
  return Scratch(s, gradients, nullptr).bytes + of_products;
}

template <typename E>
void CommonPairs<E>::begin(std::span<void* const> inputs, std::byte* workspace) {
  if (!s_.has_common()) return;
  const bool gradients = products_[0][0].keys != nullptr;
  scratch_ = Scratch(s_, gradients, workspace);
  product_space_ = workspace + scratch_.bytes;
  for (size_t p = 0; p < s_.common.size(); ++p) {
    const auto& pair = s_.common[p];
    rounded_weights<E>(context_, input<T>(inputs, 2 * pair.at + 1), s_.heads * pair.width * s_.memory,
                       scratch_.keys[p]);
  }
}

template <typename E>
const E* CommonPairs<E>::keys(std::span<void* const> inputs, size_t pair) const {
  return kRounds<E> ? scratch_.keys[pair] : input<E>(inputs, 2 * s_.common[pair].at + 1);
}

template <typename E>
void CommonPairs<E>::run_scores(std::span<void* const> inputs, int64_t first, int64_t count) const {
  first_ = first;
  count_ = count;
  for (size_t p = 0; p < s_.common.size(); ++p) {
    const auto& pair = s_.common[p];
    products(p, count).scores->run(input<E>(inputs, 2 * pair.at) + first * s_.length * pair.width, keys(inputs, p),
                                   scratch_.scores, product_space_);
  }
}

template <typename E>
void CommonPairs<E>::run_gradients(std::span<void* const> inputs, std::span<void* const> outputs, int64_t first,
                                   int64_t count) const {
  const int64_t rows = count * s_.length;
  for (size_t p = 0; p < s_.common.size(); ++p) {
    const auto& pair = s_.common[p];
    const Products& of = products(p, count);
    const int64_t before = first * s_.length * pair.width;
    // Keys first: queries' gradients may take the place of queries.
    (first == 0 ? of.first_keys : of.keys)
        ->run(input<E>(inputs, 2 * pair.at) + before, scratch_.gradients, output<T>(outputs, 2 * pair.at + 1),
              product_space_);
    E* const to = output<E>(outputs, 2 * pair.at) + before;
    T* const sums = kRounds<E> ? scratch_.queries : reinterpret_cast<T*>(to);
    for (int64_t h = 0; h < s_.heads; ++h)
      (h == 0 ? of.first_queries : of.queries)
          ->run(scratch_.gradients + h * rows * s_.memory, keys(inputs, p) + h * pair.width * s_.memory, sums,
                product_space_);
    if constexpr (kRounds<E>) rounded_weights<E>(context_, sums, rows * pair.width, to);
  }
}

template class CommonPairs<float>;
template class CommonPairs<double>;
template class CommonPairs<BFloat16>;

}  // namespace synthesizer
