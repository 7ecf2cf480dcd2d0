// The products of common pairs (dot_common.h).
#include <algorithm>

#include "core/kernels/cuda/attention/dot_common.h"
#include "core/kernels/cuda/attention/shared_keys.h"

namespace synthesizer::cuda {

template <typename E>
CommonPairs<E>::Space::Space(const DotSizes& s, bool backward, const ProductLibrary& library, Carver& carver) {
  for (size_t n = 0; n < s.common.size(); ++n) keys[n] = carver.take<E>(s.heads * s.memory * s.widths[s.common[n]]);
  if (s.common.empty()) return;
  scores = carver.take<T>(s.chunk * s.length * s.heads * s.memory);
  if (backward) gradients = carver.take<E>(s.chunk * s.length * s.heads * s.memory);
  products = carver.take<std::byte>(library.workspace_bytes());
}

template <typename E>
CommonPairs<E>::CommonPairs(const CudaContext& context, const DotSizes& s, bool backward) : context_(context), s_(s) {
  const int64_t last = s.batch - (s.chunks() - 1) * s.chunk;
  for (size_t n = 0; n < s.common.size(); ++n) {
    of_last_.push_back(make(last, n, backward));
    of_chunk_.push_back(last == s.chunk && s.chunks() == 1 ? Products{} : make(s.chunk, n, backward));
  }
}

template <typename E>
typename CommonPairs<E>::Products CommonPairs<E>::make(int64_t examples, size_t n, bool backward) const {
  const ProductLibrary& library = *context_.products;
  const int64_t rows = examples * s_.length, keys = s_.heads * s_.memory, width = s_.widths[s_.common[n]];
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
  of.keys = library.make(p);
  p.accumulate = true;
  of.more_keys = library.make(p);
  return of;
}

template <typename E>
const typename CommonPairs<E>::Products& CommonPairs<E>::products(int64_t first, size_t pair) const {
  return (first + s_.chunk >= s_.batch ? of_last_ : of_chunk_)[pair];
}

template <typename E>
void CommonPairs<E>::round_keys(std::span<void* const> inputs, const Space& space) const {
  for (size_t n = 0; n < s_.common.size(); ++n) {
    const size_t pair = s_.common[n];
    SharedKeys<E>{static_cast<int>(s_.heads), static_cast<int>(s_.widths[pair]), static_cast<int>(s_.memory)}.round(
        context_.stream, input<T>(inputs, 2 * pair + 1), space.keys[n]);
  }
}

template <typename E>
void CommonPairs<E>::make_scores(std::span<void* const> inputs, int64_t first, const Space& space) const {
  for (size_t n = 0; n < s_.common.size(); ++n) {
    const size_t pair = s_.common[n];
    const E* const queries = input<E>(inputs, 2 * pair) + first * s_.length * s_.widths[pair];
    products(first, n).scores->run(context_.stream, queries, space.keys[n], {}, space.scores, space.products);
  }
}

template <typename E>
void CommonPairs<E>::add_gradients(std::span<void* const> inputs, std::span<void* const> outputs, int64_t first,
                                   const Space& space) const {
  const auto row = [&](size_t pair) { return first * s_.length * s_.widths[pair]; };
  for (size_t n = 0; n < s_.common.size(); ++n) {
    const size_t pair = s_.common[n];
    const Products& of = products(first, n);
    (first == 0 ? of.keys : of.more_keys)
        ->run(context_.stream, input<E>(inputs, 2 * pair) + row(pair), space.gradients, {},
              output<T>(outputs, 2 * pair + 1), space.products);
  }
  for (size_t n = 0; n < s_.common.size(); ++n) {
    const size_t pair = s_.common[n];
    products(first, n).queries->run(context_.stream, space.gradients, space.keys[n], {},
                                    output<E>(outputs, 2 * pair) + row(pair), space.products);
  }
}

template class CommonPairs<float>;
template class CommonPairs<double>;
template class CommonPairs<BFloat16>;

}  // namespace synthesizer::cuda
