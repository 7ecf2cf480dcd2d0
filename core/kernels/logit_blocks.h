// How the output layer's product is cut: blocks [rows, columns] of the logits, which are all that is ever there of
// them, the three products that a block takes part in, and what has to be copied for these.
#pragma once

#include <algorithm>

#include "core/base/error.h"
#include "core/kernels/gemm.h"
#include "core/ops/cross_entropy.h"
#include "core/tensor/storage.h"

namespace synthesizer {

// Of a block of logits; rows are whole tiles of products. Blocks of words whose softmax is kept are seen whole.
inline constexpr int64_t kRows = 1056, kMostColumns = LinearCrossEntropy::kMostKept;

// How x […, model] and the table lie, and how their product is cut. Columns of padding are never made.
struct LogitBlocks {
  LogitBlocks(const ValueType& x_type, const Shape& table, const VocabularyPart& part)
      : dtype(x_type.dtype), blocks(part.blocks) {
    const Shape& x = x_type.shape;
    const Dim& model = x.dims().back();
    depth = model.size;
    rows = x.elements() / depth;
    CHECK(table.rank() == 2 && table.has(model.name), "a table {}: expected a dim {}", table.to_string(), model.name);
    padded = table.elements() / depth;
    model_first = table.dims()[0].name == model.name;
    vocab = part.words(padded);
    true_vocab = part.true_vocab;
    first_word = part.first_word;
    block = padded / blocks;
    // A block of words that fits is never cut: all of its logits are there at once.
    columns = block <= kMostColumns ? kMostColumns / block * block : kMostColumns;
  }
  // Where a target lies among the words that count here, or −1.
  int64_t local(int32_t target) const {
    const int64_t word = target - first_word;
    return word >= 0 && word < vocab ? word : -1;
  }
  // Columns of the largest block that any rank has: the first one has the most words. Workspace has the same size on
  // all, though fewer words may count on the last ones, so that one rank's plan is every rank's.
  int64_t most_columns() const { return std::min({columns, padded, true_vocab}); }
  // Of logits, in the type that is calculated in, and of their gradients, which enter products.
  int64_t logits_bytes() const { return align_up(block_elements() * size_of(compute_type(dtype))); }
  int64_t gradient_bytes() const { return align_up(block_elements() * size_of(dtype)); }
  // Of a table [model, vocab] a block of words does not lie densely: it is copied, [model, n]. So is one that has to be
  // rounded, as it lies.
  bool copied() const { return model_first || narrow(); }
  int64_t copy_bytes() const { return copied() ? align_up(depth * most_columns() * size_of(dtype)) : 0; }
  // Of the table's gradient, where a block does not lie densely.
  int64_t gradient_copy_bytes() const {
    return model_first ? align_up(depth * most_columns() * size_of(compute_type(dtype))) : 0;
  }
  // Of dx of a block of rows, where it has to be rounded.
  int64_t dx_bytes() const {
    return narrow() ? align_up(std::min(kRows, rows) * depth * size_of(compute_type(dtype))) : 0;
  }
  bool narrow() const { return dtype != compute_type(dtype); }
  // logits [m, n] = x · tableᵀ
  Product logits(int64_t m, int64_t n) const {
    Product p = base(m, n, depth);
    p.wide = true;
    p.a = {{0, 0}, depth, 1};
    p.b = model_first ? MatrixStrides{{0, 0}, n, 1} : MatrixStrides{{0, 0}, 1, depth};
    p.c = {{0, 0}, n, 1};
    return p;
  }
  // dx [m, depth] (+)= dlogits · table, summed over the blocks of words before it is rounded
  Product dx(int64_t m, int64_t n, bool accumulate) const {
    Product p = base(m, depth, n);
    p.a = {{0, 0}, n, 1};
    p.b = model_first ? MatrixStrides{{0, 0}, 1, n} : MatrixStrides{{0, 0}, depth, 1};
    p.c = {{0, 0}, depth, 1};
    p.wide = true;
    p.accumulate = accumulate;
    return p;
  }
  // dtable [n, depth] (+)= dlogitsᵀ · x, or a copied block [depth, n] = xᵀ · dlogits
  Product dtable(int64_t m, int64_t n, bool accumulate) const {
    Product p = model_first ? base(depth, n, m) : base(n, depth, m);
    p.wide = true;
    p.a = {{0, 0}, 1, p.m};
    p.b = {{0, 0}, p.n, 1};
    p.c = {{0, 0}, p.n, 1};
    p.accumulate = accumulate && !model_first;
    return p;
  }

  DType dtype;
  int64_t blocks;             // that the table's words are taken in
  int64_t vocab, padded;      // words that count, of those that the table has
  int64_t true_vocab;         // that count anywhere
  int64_t first_word, block;  // of the table; words of a block
  int64_t columns;            // that are done at a time, at most
  int64_t depth, rows;
  bool model_first;

 private:
  int64_t block_elements() const { return std::min(kRows, rows) * most_columns(); }
  Product base(int64_t m, int64_t n, int64_t k) const {
    Product p;
    p.dtype = dtype;
    p.m = m;
    p.n = n;
    p.k = k;
    return p;
  }
};

}  // namespace synthesizer
