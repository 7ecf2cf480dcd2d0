// The products of blocks of logits, and what is copied for them.
#pragma once

#include <array>
#include <memory>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/kernels/logit_blocks.h"

namespace synthesizer {

// A product of each kind of block: whole and last rows by whole and last columns.
class BlockGemms {
 public:
  template <typename MakeProduct>
  BlockGemms(const LogitBlocks& layout, const CpuContext& context, const MakeProduct& product) {
    for (int i = 0; i < 4; ++i) {
      const int64_t m = i / 2 == 0 ? std::min(kRows, layout.rows) : layout.rows % kRows;
      const int64_t n = i % 2 == 0 ? std::min(layout.columns, layout.vocab) : layout.vocab % layout.columns;
      if (m > 0 && n > 0)
        gemms_[static_cast<size_t>(i)] = make_gemm(product(m, n), context.gemm_threads(), context.counters);
    }
  }
  const Gemm& of(int64_t m, int64_t n, const LogitBlocks& layout) const {
    const bool last_rows = m != std::min(kRows, layout.rows),
               last_columns = n != std::min(layout.columns, layout.vocab);
    return *gemms_[static_cast<size_t>(2 * last_rows + last_columns)];
  }

 private:
  std::array<std::unique_ptr<Gemm>, 4> gemms_;
};

// Of backward's.
inline int64_t products_workspace(const LogitBlocks& layout, GemmThreads threads) {
  const int64_t m = std::min(kRows, layout.rows), n = layout.most_columns();
  return align_up(std::max(gemm_workspace_up_to(layout.dx(m, n, true), threads),
                           gemm_workspace_up_to(layout.dtable(m, n, true), threads)));
}

// The words [word, word + n) of the table as T, in `copy` if they do not lie densely or are not of T.
template <typename T>
const T* table_block(const LogitBlocks& layout, const CpuContext& context, const Compute<T>* table, int64_t word,
                     int64_t n, T* copy) {
  const auto store = context.loops.of<T>().store;
  if (layout.model_first) {
    parallel_ranges(context.threads, layout.depth, n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) store(table + i * layout.padded + word, copy + i * n, n);
    });
    return copy;
  }
  const Compute<T>* words = table + word * layout.depth;
  if constexpr (std::is_same_v<T, Compute<T>>) {
    return words;
  } else {
    parallel_ranges(context.threads, n * layout.depth, 1,
                    [&](int64_t begin, int64_t end) { store(words + begin, copy + begin, end - begin); });
    return copy;
  }
}

// Calls for n elements that are read (kWrite 0) or written (1) soon. Kept weights of a row lie a vocabulary from those
// of the one before, which no processor foresees: they are called for some rows ahead.
inline constexpr int64_t kAhead = 2;
template <int kWrite, typename T>
void prefetch(const T* x, int64_t n) {
  for (int64_t i = 0; i < n; i += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(x + i, kWrite);
}

// Calls body(block, from, count) for the runs of words [word, word + n) that are of one block: `from` counts from
// `word`.
template <typename Body>
void each_block(const LogitBlocks& layout, int64_t word, int64_t n, const Body& body) {
  for (int64_t at = word; at < word + n;) {
    const int64_t block = at / layout.block, end = std::min((block + 1) * layout.block, word + n);
    body(block, at - word, end - at);
    at = end;
  }
}

}  // namespace synthesizer
