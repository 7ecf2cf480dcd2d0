// The output layer and its loss: columns of the vocabulary in turn, with a running maximum and sum of each row
// (Milakov & Gimelshein 2018, "Online normalizer calculation for softmax").
#include "core/ops/cross_entropy.h"

#include <cmath>
#include <limits>

#include "core/kernels/cpu/logit_blocks.h"

namespace synthesizer {
namespace {

// After the logits: running maximum (as Compute<T>) and sum (double) of each row by block of words, and its total
// (double).
struct Sums {
  explicit Sums(const LogitBlocks& layout)
      : rows(align_up(std::min(kRows, layout.rows) * 8)),
        by_block(align_up(std::min(kRows, layout.rows) * layout.blocks * 8)) {}
  int64_t bytes() const { return rows + 2 * by_block; }
  int64_t rows, by_block;
};

int64_t forward_workspace(const KernelCase& c) {
  const LogitBlocks layout(c.inputs[0], c.in(1), c.as<LinearCrossEntropy>().part());
  return layout.logits_bytes() + layout.copy_bytes() + Sums(layout).bytes() +
         products_workspace(layout, c.context.gemm_threads(), false);
}
template <typename T>
class CrossEntropyKernel : public Kernel {
 public:
  explicit CrossEntropyKernel(const KernelCase& c)
      : context_(c.context),
        layout_(c.inputs[0], c.in(1), c.as<LinearCrossEntropy>().part()),
        options_(c.as<LinearCrossEntropy>().options()),
        logits_(layout_, c.context, [&](int64_t m, int64_t n) { return layout_.logits(m, n); }) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    for (int64_t row = 0; row < layout_.rows; row += kRows) {
      const int64_t m = std::min(kRows, layout_.rows - row);
      const Out out{output<C>(outputs, 0) + row * layout_.blocks, output<C>(outputs, 1) + row,
                    output<C>(outputs, 2) + row, output<C>(outputs, 3) + row,
                    options_.kept ? output<T>(outputs, 4) + row * layout_.padded : nullptr};
      block_of_rows(input<T>(inputs, 0) + row * layout_.depth, input<C>(inputs, 1), input<int32_t>(inputs, 2) + row, m,
                    out, static_cast<std::byte*>(workspace));
    }
  }

 private:
  using C = Compute<T>;
  struct Out {
    C *log_z, *target, *mean, *largest;
    T* weights;  // or null
  };

  void block_of_rows(const T* x, const C* table, const int32_t* targets, int64_t m, const Out& out,
                     std::byte* workspace) const {
    C* logits = reinterpret_cast<C*>(workspace);
    T* copy = reinterpret_cast<T*>(workspace += layout_.logits_bytes());
    workspace += layout_.copy_bytes();
    const Sums sizes(layout_);
    C* maximum = reinterpret_cast<C*>(workspace);
    double* sum = reinterpret_cast<double*>(workspace + sizes.by_block);
    double* total = reinterpret_cast<double*>(workspace + 2 * sizes.by_block);
    workspace += sizes.bytes();
    std::fill_n(maximum, m * layout_.blocks, -std::numeric_limits<C>::infinity());
    std::fill_n(sum, m * layout_.blocks, 0);
    std::fill_n(total, m, 0);
    std::fill_n(out.target, m, C(0));
    const auto& loops = context_.loops.of<T>();
    for (int64_t word = 0; word < layout_.vocab; word += layout_.columns) {
      const int64_t n = std::min(layout_.columns, layout_.vocab - word);
      const T* words = table_block<T>(layout_, context_, table, word, n, copy);
      logits_.of(m, n, layout_).run(x, words, logits, workspace);
      parallel_ranges(context_.threads, m, 8 * n, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const C* row = logits + i * n;
          if (out.weights != nullptr && i + kAhead < end)
            prefetch<1>(out.weights + (i + kAhead) * layout_.padded + word, n);
          const int64_t target = layout_.local(targets[i]);
          if (target >= word && target < word + n) out.target[i] = row[target - word];
          each_block(layout_, word, n, [&](int64_t block, int64_t from, int64_t count) {
            const int64_t at = i * layout_.blocks + block;
            loops.log_sum_exp(row + from, count, &maximum[at], &sum[at]);
            if (options_.mean) total[i] += context_.loops.of<C>().sum(row + from, count);
            if (out.weights != nullptr)  // the whole block's words: its log Z is known
              loops.word_weights(row + from, out.weights + i * layout_.padded + word + from, count,
                                 log_z(maximum[at], sum[at]));
          });
        }
      });
    }
    parallel_ranges(context_.threads, m, 8 * layout_.blocks, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        finish(i, maximum, sum, total[i], out);
        if (out.weights != nullptr)
          std::fill_n(out.weights + i * layout_.padded + layout_.vocab, layout_.padded - layout_.vocab, T{});
      }
    });
  }

  // Of a block with the maximum of its logits and their sum by it.
  static C log_z(C maximum, double sum) {
    return sum != 0 ? static_cast<C>(static_cast<double>(maximum) + std::log(sum))  // NaN is
                    : static_cast<C>(LinearCrossEntropy::kNoWords);
  }

  void finish(int64_t i, const C* maximum, const double* sum, double total, const Out& out) const {
    const C none = static_cast<C>(LinearCrossEntropy::kNoWords);
    out.largest[i] = none;
    out.mean[i] = options_.mean ? static_cast<C>(total / static_cast<double>(layout_.true_vocab)) : C(0);
    for (int64_t at = i * layout_.blocks; at < (i + 1) * layout_.blocks; ++at) {
      out.log_z[at] = log_z(maximum[at], sum[at]);
      // As the loops take a maximum, but that NaN stays.
      if (sum[at] != 0 && !(maximum[at] <= out.largest[i])) out.largest[i] = maximum[at];
    }
  }

  CpuContext context_;
  LogitBlocks layout_;
  CrossEntropyOptions options_;
  BlockGemms logits_;
};

}  // namespace

std::span<const KernelEntry> cross_entropy_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(LinearCrossEntropy), make_by_input<CrossEntropyKernel>, forward_workspace}};
  return kEntries;
}

}  // namespace synthesizer
