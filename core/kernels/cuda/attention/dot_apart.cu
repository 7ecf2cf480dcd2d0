// Scores made apart: products of common pairs (dot_apart.h).
#include <algorithm>

#include "core/kernels/cuda/attention/dot_apart.h"
#include "core/kernels/cuda/attention/shared_keys.h"

namespace synthesizer::cuda {

template <typename E>
ScoresApart<E>::Space::Space(const DotSizes& s, bool backward, const ProductLibrary& library, Carver& carver) {
  for (size_t n = 0; n < s.apart.size(); ++n)
    if (s.options.kinds[s.apart[n]] == PairKind::kCommon)
      keys[n] = carver.take<E>(s.heads * s.memory * s.widths[s.apart[n]]);
  if (s.apart.empty()) return;
  scores = carver.take<T>(s.chunk * s.length * s.heads * s.memory);
  if (backward) gradients = carver.take<E>(s.chunk * s.length * s.heads * s.memory);
  products = carver.take<std::byte>(library.workspace_bytes());
}

template <typename E>
ScoresApart<E>::ScoresApart(const CudaContext& context, const DotSizes& s, bool backward) : context_(context), s_(s) {
  const int64_t last = s.batch - (s.chunks() - 1) * s.chunk;
  for (size_t n = 0; n < s.apart.size(); ++n) {
    of_last_.push_back(make(last, n, backward));
    of_chunk_.push_back(last == s.chunk && s.chunks() == 1 ? Products{} : make(s.chunk, n, backward));
  }
}

template <typename E>
typename ScoresApart<E>::Products ScoresApart<E>::make(int64_t examples, size_t n, bool backward) const {
  if (!is_product(s_.apart[n])) return {};
  const ProductLibrary& library = *context_.products;
  const int64_t rows = examples * s_.length, keys = s_.heads * s_.memory, width = s_.widths[s_.apart[n]];
  Product p;
  p.dtype = s_.dtype;
  p.wide = true;
  p.m = rows, p.n = keys, p.k = width;
  p.a = {{0, 0}, width, 1};
  p.b = {{0, 0}, 1, width};
  p.c = {{0, 0}, keys, 1};
  p.accumulate = n > 0;
  Products of;
  of.scores = library.make(p);
  if (!backward) return of;

  p.wide = false;
  p.n = width, p.k = keys;
  p.a = {{0, 0}, keys, 1};
  p.b = {{0, 0}, width, 1};
  p.c = {{0, 0}, width, 1};
  p.accumulate = false;
  of.queries = library.make(p);

  p.wide = true;
  p.batch[1] = s_.heads;
  p.m = width, p.n = s_.memory, p.k = rows;
  p.a = {{0, 0}, 1, width};
  p.b = {{0, s_.memory}, keys, 1};
  p.c = {{0, width * s_.memory}, s_.memory, 1};
  if (s_.heads_second[s_.apart[n]]) p.c = {{0, s_.memory}, s_.heads * s_.memory, 1};
  of.keys = library.make(p);
  p.accumulate = true;
  of.more_keys = library.make(p);
  return of;
}

template <typename E>
const typename ScoresApart<E>::Products& ScoresApart<E>::products(int64_t first, size_t pair) const {
  return (first + s_.chunk >= s_.batch ? of_last_ : of_chunk_)[pair];
}

template <typename E>
OuterSizes ScoresApart<E>::outer(int64_t first, size_t pair) const {
  const int64_t examples = std::min(s_.chunk, s_.batch - first);
  return {examples * s_.length * s_.heads, static_cast<int>(s_.widths[pair]), static_cast<int>(s_.second[pair]),
          static_cast<int>(s_.memory)};
}

template <typename E>
void ScoresApart<E>::round_keys(std::span<void* const> inputs, const Space& space) const {
  for (size_t n = 0; n < s_.apart.size(); ++n) {
    const size_t pair = s_.apart[n];
    if (!is_product(pair)) continue;
    const SharedKeys<E> keys{static_cast<int>(s_.heads), static_cast<int>(s_.widths[pair]), static_cast<int>(s_.memory),
                             s_.heads_second[pair] != 0};
    keys.round(context_.stream, input<T>(inputs, 2 * pair + 1), space.keys[n]);
  }
}

template <typename E>
void ScoresApart<E>::make_scores(std::span<void* const> inputs, int64_t first, const Space& space) const {
  for (size_t n = 0; n < s_.apart.size(); ++n) {
    const size_t pair = s_.apart[n];
    const int64_t row = first * s_.length;
    if (is_product(pair))
      products(first, n).scores->run(context_.stream, input<E>(inputs, 2 * pair) + row * s_.widths[pair], space.keys[n],
                                     {}, space.scores, space.products);
    else
      make_outer_scores(context_.stream, outer(first, pair),
                        input<E>(inputs, 2 * pair) + row * s_.heads * s_.widths[pair],
                        input<E>(inputs, 2 * pair + 1) + row * s_.heads * s_.second[pair], n > 0, space.scores);
  }
}

template <typename E>
void ScoresApart<E>::add_gradients(std::span<void* const> inputs, std::span<void* const> outputs, int64_t first,
                                   const Space& space) const {
  for (size_t n = 0; n < s_.apart.size(); ++n) {
    const size_t pair = s_.apart[n];
    const int64_t row = first * s_.length;
    if (is_product(pair)) {
      // Keys first: queries' gradients may take the place of queries.
      const int64_t before = row * s_.widths[pair];
      const Products& of = products(first, n);
      (first == 0 ? of.keys : of.more_keys)
          ->run(context_.stream, input<E>(inputs, 2 * pair) + before, space.gradients, {},
                output<T>(outputs, 2 * pair + 1), space.products);
      of.queries->run(context_.stream, space.gradients, space.keys[n], {}, output<E>(outputs, 2 * pair) + before,
                      space.products);
      continue;
    }
    const int64_t before = row * s_.heads * s_.widths[pair], second = row * s_.heads * s_.second[pair];
    make_outer_gradients(context_.stream, outer(first, pair), input<E>(inputs, 2 * pair) + before,
                         input<E>(inputs, 2 * pair + 1) + second, space.gradients,
                         output<E>(outputs, 2 * pair) + before, output<E>(outputs, 2 * pair + 1) + second);
  }
}

template class ScoresApart<float>;
template class ScoresApart<double>;
template class ScoresApart<BFloat16>;

}  // namespace synthesizer::cuda
