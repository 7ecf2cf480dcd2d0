// The output layer and its loss: a thread takes a block of words, and of that the rows in turn. Where a block of words
// that has a log Σ exp of its own is too long for that, its parts are put together in the end.
#include "core/ops/cross_entropy.h"

#include <cmath>
#include <limits>

#include "core/kernels/cpu/logit_rows.h"

namespace synthesizer {
namespace {

// Calls body(word, n) for the blocks of words that are done at a time.
template <typename Body>
void each_columns(const LogitBlocks& layout, const Body& body) {
  for (int64_t word = 0; word < layout.vocab; word += layout.columns)
    body(word, std::min(layout.columns, layout.vocab - word));
}

// Runs: the parts of what is done at a time that are of one block of words each.
std::vector<int64_t> first_runs(const LogitBlocks& layout) {
  std::vector<int64_t> first = {0};
  each_columns(layout, [&](int64_t word, int64_t n) {
    first.push_back(first.back());
    each_block(layout, word, n, [&](int64_t, int64_t, int64_t) { ++first.back(); });
  });
  return first;
}

// Bytes of what is known of a row's runs, the first of the workspace: maximum (as Compute<T>), sum by it and, for the
// mean, sum of the logits (double).
struct Sums {
  explicit Sums(const LogitBlocks& layout) : each(align_up(std::min(kRows, layout.rows) * most_runs(layout) * 8)) {}
  int64_t bytes() const { return 3 * each; }
  int64_t each;

  // On the rank that has the most words.
  static int64_t most_runs(LogitBlocks layout) {
    layout.vocab = std::min(layout.padded, layout.true_vocab);
    return first_runs(layout).back();
  }
};

int64_t forward_workspace(const KernelCase& c) {
  const LogitBlocks layout(c.inputs[0], c.in(1), c.as<LinearCrossEntropy>().part());
  const int threads = c.context.threads;
  return Sums(layout).bytes() + threads * layout.copy_bytes() + threads * LogitRowsSpace(layout, false).bytes;
}

template <typename T>
class CrossEntropyKernel : public Kernel {
 public:
  explicit CrossEntropyKernel(const KernelCase& c)
      : context_(c.context),
        alone_(c.context),
        layout_(c.inputs[0], c.in(1), c.as<LinearCrossEntropy>().part()),
        options_(c.as<LinearCrossEntropy>().options()),
        first_run_(first_runs(layout_)),
        sums_(layout_),
        logits_(layout_, c.context, false) {
    alone_.threads = 1;
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    for (int64_t row = 0; row < layout_.rows; row += kRows) {
      const In in{input<T>(inputs, 0) + row * layout_.depth, input<C>(inputs, 1), input<int32_t>(inputs, 2) + row,
                  std::min(kRows, layout_.rows - row)};
      const Out out{output<C>(outputs, 0) + row * layout_.blocks, output<C>(outputs, 1) + row,
                    output<C>(outputs, 2) + row, output<C>(outputs, 3) + row,
                    options_.kept ? output<T>(outputs, 4) + row * layout_.padded : nullptr};
      block_of_rows(in, out, static_cast<std::byte*>(workspace));
    }
  }

 private:
  using C = Compute<T>;
  struct In {
    const T* x;
    const C* table;
    const int32_t* targets;
    int64_t rows;
  };
  struct Out {
    C *log_z, *target, *mean, *largest;
    T* weights;  // or null
  };
  // By run and row: a thread writes runs.
  struct Known {
    C* maximum;
    double *sum, *total;
  };

  int64_t runs() const { return first_run_.back(); }

  void block_of_rows(const In& in, const Out& out, std::byte* workspace) const {
    const Known known{reinterpret_cast<C*>(workspace), reinterpret_cast<double*>(workspace + sums_.each),
                      reinterpret_cast<double*>(workspace + 2 * sums_.each)};
    workspace += sums_.bytes();
    std::byte* const space = workspace + context_.threads * layout_.copy_bytes();
    std::fill_n(known.maximum, in.rows * runs(), -std::numeric_limits<C>::infinity());
    std::fill_n(known.sum, in.rows * runs(), 0);
    std::fill_n(out.target, in.rows, C(0));
    // Parts of the rows for the threads that blocks of words leave without work; each has its words copied again.
    const auto blocks = static_cast<int64_t>(first_run_.size()) - 1;
    const int64_t together = (in.rows + Rows::kTogether - 1) / Rows::kTogether;
    const int64_t wanted = context_.threads > 1 ? 2 * context_.threads : 1;
    const int64_t parts = blocks == 0 ? 1 : std::clamp<int64_t>((wanted + blocks - 1) / blocks, 1, together);
    const int64_t cost = layout_.columns * layout_.depth * in.rows / parts;
    parallel_pieces(context_.threads, blocks * parts, cost, [&](int64_t piece) {
      const int64_t block = piece / parts, part = piece % parts, word = block * layout_.columns;
      const int64_t n = std::min(layout_.columns, layout_.vocab - word);
      T* const copy = reinterpret_cast<T*>(workspace + omp_get_thread_num() * layout_.copy_bytes());
      const T* const words = table_block<T>(layout_, alone_, in.table, word, n, copy);
      const int64_t begin = together * part / parts * Rows::kTogether;
      const int64_t end = std::min(in.rows, together * (part + 1) / parts * Rows::kTogether);
      logits_.each(in.x, words, n, begin, end, nullptr, space, [&](int64_t i, const C* row) {
        if (out.weights != nullptr && i + kAhead < end)
          prefetch<1>(out.weights + (i + kAhead) * layout_.padded + word, n);
        look_at(in, i, row, word, n, first_run_[static_cast<size_t>(block)], known, out);
      });
    });
    parallel_ranges(context_.threads, in.rows, 8 * runs(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        finish(i, in.rows, known, out);
        if (out.weights != nullptr)
          std::fill_n(out.weights + i * layout_.padded + layout_.vocab, layout_.padded - layout_.vocab, T{});
      }
    });
  }

  // Row i's logits of n words from `word` on, of which `run` is the first run.
  void look_at(const In& in, int64_t i, const C* row, int64_t word, int64_t n, int64_t run, const Known& known,
               const Out& out) const {
    const auto& loops = context_.loops.of<T>();
    const int64_t target = layout_.local(in.targets[i]);
    if (target >= word && target < word + n) out.target[i] = row[target - word];
    each_block(layout_, word, n, [&](int64_t, int64_t from, int64_t count) {
      const int64_t at = run++ * in.rows + i;
      loops.log_sum_exp(row + from, count, &known.maximum[at], &known.sum[at]);
      if (options_.mean) known.total[at] = context_.loops.of<C>().sum(row + from, count);
      if (out.weights != nullptr)  // the whole block's words: its log Z is known
        loops.word_weights(row + from, out.weights + i * layout_.padded + word + from, count,
                           log_z(known.maximum[at], known.sum[at]));
    });
  }

  // Of a block with the maximum of its logits and their sum by it.
  static C log_z(C maximum, double sum) {
    return sum != 0 ? static_cast<C>(static_cast<double>(maximum) + std::log(sum))  // NaN is
                    : static_cast<C>(LinearCrossEntropy::kNoWords);
  }

  // Puts the runs of each block together (Milakov & Gimelshein 2018, "Online normalizer calculation for softmax").
  void finish(int64_t i, int64_t rows, const Known& known, const Out& out) const {
    const C none = static_cast<C>(LinearCrossEntropy::kNoWords);
    C* const log_zs = out.log_z + i * layout_.blocks;
    std::fill_n(log_zs, layout_.blocks, none);
    out.largest[i] = none;
    double total = 0;
    int64_t at = i, of_block = -1;
    C maximum = 0;
    double sum = 0;
    each_columns(layout_, [&](int64_t word, int64_t n) {
      each_block(layout_, word, n, [&](int64_t block, int64_t, int64_t) {
        if (options_.mean) total += known.total[at];
        const C here = known.maximum[at];
        if (block != of_block) {
          of_block = block;
          maximum = here;
          sum = known.sum[at];
        } else {
          const C larger = here > maximum ? here : maximum;
          sum = sum * std::exp(static_cast<double>(maximum - larger)) +
                known.sum[at] * std::exp(static_cast<double>(here - larger));
          maximum = larger;
        }
        log_zs[block] = log_z(maximum, sum);
        // As the loops take a maximum, but that NaN stays.
        if (sum != 0 && !(maximum <= out.largest[i])) out.largest[i] = maximum;
        at += rows;
      });
    });
    out.mean[i] = options_.mean ? static_cast<C>(total / static_cast<double>(layout_.true_vocab)) : C(0);
  }

  using Rows = LogitRows<T>;
  CpuContext context_, alone_;  // alone: of one thread
  LogitBlocks layout_;
  CrossEntropyOptions options_;
  std::vector<int64_t> first_run_;  // by block of words that is done at a time, and the end
  Sums sums_;
  Rows logits_;
};

}  // namespace

std::span<const KernelEntry> cross_entropy_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(LinearCrossEntropy), make_by_input<CrossEntropyKernel>, forward_workspace}};
  return kEntries;
}

}  // namespace synthesizer
