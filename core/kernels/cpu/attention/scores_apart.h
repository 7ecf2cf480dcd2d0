// Scores that are made apart from the blocks, of some examples at a time: of pairs whose queries all heads have in
// common by large products, of those of two factors by theirs. They are in workspace before the blocks of these
// examples are gone through, as their gradients are after it.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "core/kernels/cpu/attention/blocks.h"

namespace synthesizer {

// E is the type of what is multiplied, T that of scores and sums.
template <typename E>
class ScoresApart {
 public:
  using T = Compute<E>;

  // `gradients`: whether run_gradients() is wanted.
  ScoresApart(const AttentionShape& s, const CpuContext& context, bool gradients);
  static int64_t workspace(const AttentionShape& s, const CpuContext& context, bool gradients);

  // Keys as products take them; first of all.
  void begin(std::span<void* const> inputs, std::byte* workspace);
  // The sums of all these pairs, of examples [first, first + count).
  void run_scores(std::span<void* const> inputs, int64_t first, int64_t count);
  // What run_scores() made, of a query; and where the gradient of these scores belongs, all of it, 0 where no key is
  // seen. Both by places.
  T* scores(int64_t b, int64_t h, int64_t i) const { return scratch_.scores + row(b, h, i); }
  E* score_gradients(int64_t b, int64_t h, int64_t i) const { return scratch_.gradients + row(b, h, i); }
  // From these the gradients of the queries of the same examples, and of keys, to which all examples before were added.
  void run_gradients(std::span<void* const> inputs, std::span<void* const> outputs) const;

 private:
  struct Scratch {
    Scratch() = default;
    Scratch(const AttentionShape& s, bool gradients, std::byte* memory);
    T *scores = nullptr, *queries = nullptr;  // scores [heads, examples, length, memory]; queries' gradients, as summed
    E *gradients = nullptr, *keys = nullptr;  // of scores; rounded keys of all pairs, where they are to be rounded
    int64_t bytes = 0;
  };
  // Of one pair and one number of examples.
  struct Products {
    std::unique_ptr<Gemm> scores, first_queries, queries, first_keys, keys;
  };

  int64_t row(int64_t b, int64_t h, int64_t i) const { return ((h * count_ + b - first_) * s_.length + i) * s_.memory; }
  // Products know how many examples there are: as many as fit, or what is left at the end.
  const Products& products(size_t pair) const { return products_[pair][count_ == s_.examples_at_a_time() ? 0 : 1]; }
  const E* keys(std::span<void* const> inputs, size_t pair) const;
  // Of two factors.
  void add_outer(std::span<void* const> inputs, const AttentionShape::Pair& pair) const;
  void outer_gradients(std::span<void* const> inputs, std::span<void* const> outputs,
                       const AttentionShape::Pair& pair) const;
  template <typename Visit>
  void each_query(Visit visit) const;

  const AttentionShape& s_;
  CpuContext context_;
  bool gradients_;
  std::vector<std::array<Products, 2>> products_;
  std::vector<int64_t> first_key_;  // elements before those of a pair in Scratch::keys
  Scratch scratch_;
  std::byte* product_space_ = nullptr;
  int64_t first_ = 0, count_ = 0;  // examples at present
};

}  // namespace synthesizer
