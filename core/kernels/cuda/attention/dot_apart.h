// Scores that are made before the tiles, and their gradients after these, over chunks of examples whose scores lie in
// workspace. Queries that all heads share are long, so their products are the library's; heads are then rows of keys
// like any other: one product makes the scores of all heads, and one the queries' gradients, summed over heads. Two
// factors of a query are dot_outer.h's.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/kernels/cuda/attention/dot_outer.h"
#include "core/kernels/cuda/attention/dot_sizes.h"
#include "core/kernels/cuda/products.h"

namespace synthesizer::cuda {

// E: type of queries.
template <typename E>
class ScoresApart {
 public:
  using T = Compute<E>;

  // A piece of the op's workspace.
  struct Space {
    Space(const DotSizes& s, bool backward, const ProductLibrary& library, Carver& carver);
    E* keys[kMostPairs] = {};  // of common pairs of s.apart, [heads, memory, e]
    T* scores = nullptr;       // of a chunk, [examples, length, heads, memory]
    E* gradients = nullptr;    // theirs
    void* products = nullptr;  // the library's own
  };

  // `s` must stay.
  ScoresApart(const CudaContext& context, const DotSizes& s, bool backward);

  // Of all examples.
  void round_keys(std::span<void* const> inputs, const Space& space) const;
  // The chunk's that begins at example `first`.
  void make_scores(std::span<void* const> inputs, int64_t first, const Space& space) const;
  // From space.gradients the queries' and keys' gradients: added to what earlier chunks have made of the latter, in
  // their order. Queries' may lie where queries do.
  void add_gradients(std::span<void* const> inputs, std::span<void* const> outputs, int64_t first,
                     const Space& space) const;

 private:
  struct Products {
    std::unique_ptr<DeviceGemm> scores, queries, keys, more_keys;
  };
  Products make(int64_t examples, size_t pair, bool backward) const;
  const Products& products(int64_t first, size_t pair) const;
  bool is_product(size_t pair) const { return s_.options.kinds[pair] == PairKind::kCommon; }
  // Of the chunk.
  OuterSizes outer(int64_t first, size_t pair) const;

  CudaContext context_;
  const DotSizes& s_;
  std::vector<Products> of_chunk_, of_last_;  // of each of s.apart; of two factors none
};

}  // namespace synthesizer::cuda
