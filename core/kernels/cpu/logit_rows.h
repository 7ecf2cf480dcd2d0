// Rows of logits where they are looked at: a thread makes those of a few rows and a block of words, which stay in its
// cache until they have been read.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "core/kernels/cpu/logit_blocks.h"

namespace synthesizer {

// What a thread needs for that, in bytes.
struct LogitRowsSpace {
  // A multiple of the rows of a product's tile. Results have the same bits wherever the rows are cut by it.
  static constexpr int64_t kTogether = 96;
  static_assert(kRows % kTogether == 0);

  // In place: logits are made in another's memory.
  LogitRowsSpace(const LogitBlocks& layout, bool in_place) {
    const Product p = product(layout, std::min(kTogether, layout.rows), layout.most_columns());
    prepared = gemm_prepared_bytes(p);
    logits = in_place ? 0 : align_up(p.m * p.n * size_of(p.c_type()));
    bytes = prepared + logits + align_up(gemm_workspace_up_to(p, {1, false}));
  }
  // Of rows of one block of words, which share the prepared words.
  static Product product(const LogitBlocks& layout, int64_t m, int64_t n) {
    Product p = layout.logits(m, n);
    p.most_m = std::min(kTogether, layout.rows);
    return p;
  }

  int64_t prepared, logits, bytes;
};

template <typename T>
class LogitRows {
 public:
  using C = Compute<T>;

  static constexpr int64_t kTogether = LogitRowsSpace::kTogether;

  LogitRows(const LogitBlocks& layout, const CpuContext& context, bool in_place)
      : layout_(layout), space_(layout, in_place) {
    if (layout.vocab == 0) return;
    const int64_t heights[] = {std::min(kTogether, layout.rows), layout.rows % kTogether};
    const int64_t widths[] = {std::min(layout.columns, layout.vocab), layout.vocab % layout.columns};
    for (int thread = 0; thread < context.threads; ++thread)
      for (const int64_t m : heights)
        for (const int64_t n : widths)
          gemms_.push_back(m > 0 && n > 0
                               ? make_gemm(LogitRowsSpace::product(layout, m, n), {1, false}, context.counters)
                               : nullptr);
  }

  // Calls body(i, the logits of row i) for rows [begin, end) of x, all of them with the n words at `words`. `begin` is
  // a multiple of kTogether. `place`: of row 0's logits, n apart, if they are made in place. Called by one thread.
  template <typename Body>
  void each(const T* x, const T* words, int64_t n, int64_t begin, int64_t end, C* place, std::byte* workspace,
            const Body& body) const {
    const int thread = omp_get_thread_num();
    std::byte* const space = workspace + thread * space_.bytes;
    C* const own = reinterpret_cast<C*>(space + space_.prepared);
    std::byte* const of_product = space + space_.prepared + space_.logits;
    const void* const prepared = gemm(thread, std::min(kTogether, layout_.rows), n).prepare(words, space);
    for (int64_t at = begin; at < end; at += kTogether) {
      const int64_t rows = std::min(kTogether, end - at);
      C* const logits = place == nullptr ? own : place + at * n;
      gemm(thread, rows, n).run_prepared(x + at * layout_.depth, prepared, logits, of_product);
      for (int64_t i = 0; i < rows; ++i) body(at + i, logits + i * n);
    }
  }

 private:
  const Gemm& gemm(int thread, int64_t m, int64_t n) const {
    const bool last_rows = m != std::min(kTogether, layout_.rows),
               last_words = n != std::min(layout_.columns, layout_.vocab);
    return *gemms_[static_cast<size_t>(4 * thread + 2 * last_rows + last_words)];
  }

  LogitBlocks layout_;
  LogitRowsSpace space_;
  std::vector<std::unique_ptr<Gemm>> gemms_;  // by thread, whole or last rows, whole or last words
};

}  // namespace synthesizer
