// The output layer and its loss: logits exist only as a block [rows, columns] of workspace, columns of the vocabulary
// in turn with a running maximum and sum (Milakov & Gimelshein 2018, "Online normalizer calculation for softmax"); the
// gradient makes the same blocks again.
#include "core/ops/cross_entropy.h"

#include <array>
#include <cmath>
#include <limits>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/kernels/gemm.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

constexpr int64_t kRows = 1024, kColumns = 1024;

// How x […, model] and the table lie, and how their product is cut. Columns of padding are never made.
struct Layout2d {
  Layout2d(const KernelCase& c, const VocabularyPart& part) : dtype(c.inputs[0].dtype), blocks(part.blocks) {
    const Shape &x = c.in(0), &table = c.in(1);
    const Dim& model = x.dims().back();
    depth = model.size;
    rows = x.elements() / depth;
    CHECK(table.rank() == 2 && table.has(model.name), "[{}] table {}: expected a dim {}", c.op.name(),
          table.to_string(), model.name);
    padded = table.elements() / depth;
    model_first = table.dims()[0].name == model.name;
    vocab = part.words(padded);
    true_vocab = part.true_vocab;
    first_word = part.first_word;
    block = padded / blocks;
  }
  // Where a target lies among the words that count here, or −1.
  int64_t local(int32_t target) const {
    const int64_t word = target - first_word;
    return word >= 0 && word < vocab ? word : -1;
  }
  // Columns of the largest block that any rank has: the first one has the most words. Workspace has the same size on
  // all, though fewer words may count on the last ones, so that one rank's plan is every rank's.
  int64_t most_columns() const { return std::min({kColumns, padded, true_vocab}); }
  int64_t block_bytes() const { return align_up(std::min(kRows, rows) * most_columns() * size_of(dtype)); }
  // Of a table [model, vocab] a block of words does not lie densely: it is copied, [model, n].
  int64_t copy_bytes() const { return model_first ? align_up(depth * most_columns() * size_of(dtype)) : 0; }
  // logits [m, n] = x · tableᵀ
  Product logits(int64_t m, int64_t n) const {
    Product p = base(m, n, depth);
    p.a = {{0, 0}, depth, 1};
    p.b = model_first ? MatrixStrides{{0, 0}, n, 1} : MatrixStrides{{0, 0}, 1, depth};
    p.c = {{0, 0}, n, 1};
    return p;
  }
  // dx [m, depth] (+)= dlogits · table
  Product dx(int64_t m, int64_t n, bool accumulate) const {
    Product p = base(m, depth, n);
    p.a = {{0, 0}, n, 1};
    p.b = model_first ? MatrixStrides{{0, 0}, 1, n} : MatrixStrides{{0, 0}, depth, 1};
    p.c = {{0, 0}, depth, 1};
    p.accumulate = accumulate;
    return p;
  }
  // dtable [n, depth] (+)= dlogitsᵀ · x, or a copied block [depth, n] = xᵀ · dlogits
  Product dtable(int64_t m, int64_t n, bool accumulate) const {
    Product p = model_first ? base(depth, n, m) : base(n, depth, m);
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
  int64_t depth, rows;
  bool model_first;

 private:
  Product base(int64_t m, int64_t n, int64_t k) const {
    Product p;
    p.dtype = dtype;
    p.m = m;
    p.n = n;
    p.k = k;
    return p;
  }
};

// A product of each kind of block: whole and last rows by whole and last columns.
class BlockGemms {
 public:
  template <typename MakeProduct>
  BlockGemms(const Layout2d& layout, const CpuContext& context, const MakeProduct& product) {
    for (int i = 0; i < 4; ++i) {
      const int64_t m = i / 2 == 0 ? std::min(kRows, layout.rows) : layout.rows % kRows;
      const int64_t n = i % 2 == 0 ? std::min(kColumns, layout.vocab) : layout.vocab % kColumns;
      if (m > 0 && n > 0)
        gemms_[static_cast<size_t>(i)] = make_gemm(product(m, n), context.gemm_threads(), context.counters);
    }
  }
  const Gemm& of(int64_t m, int64_t n, const Layout2d& layout) const {
    const bool last_rows = m != std::min(kRows, layout.rows), last_columns = n != std::min(kColumns, layout.vocab);
    return *gemms_[static_cast<size_t>(2 * last_rows + last_columns)];
  }

 private:
  std::array<std::unique_ptr<Gemm>, 4> gemms_;
};

int64_t products_workspace(const Layout2d& layout, GemmThreads threads, bool gradient) {
  const int64_t m = std::min(kRows, layout.rows), n = layout.most_columns();
  int64_t bytes = gemm_workspace_up_to(layout.logits(m, n), threads);
  if (gradient)
    bytes = std::max({bytes, gemm_workspace_up_to(layout.dx(m, n, true), threads),
                      gemm_workspace_up_to(layout.dtable(m, n, true), threads)});
  return align_up(bytes);
}

// After the logits: running maximum (as T) and sum (double) of each row by block of words, and its total (double).
struct Sums {
  explicit Sums(const Layout2d& layout)
      : rows(align_up(std::min(kRows, layout.rows) * 8)),
        by_block(align_up(std::min(kRows, layout.rows) * layout.blocks * 8)) {}
  int64_t bytes() const { return rows + 2 * by_block; }
  int64_t rows, by_block;
};

int64_t forward_workspace(const KernelCase& c) {
  const Layout2d layout(c, c.as<LinearCrossEntropy>().part());
  return layout.block_bytes() + layout.copy_bytes() + Sums(layout).bytes() +
         products_workspace(layout, c.context.gemm_threads(), false);
}
int64_t gradient_workspace(const KernelCase& c) {
  const Layout2d layout(c, c.as<LinearCrossEntropyGradient>().part());
  return layout.block_bytes() + 2 * layout.copy_bytes() + products_workspace(layout, c.context.gemm_threads(), true);
}

// The words [word, word + n) of the table, copied to `copy` if they do not lie densely.
template <typename T>
const T* table_block(const Layout2d& layout, int threads, const T* table, int64_t word, int64_t n, T* copy) {
  if (!layout.model_first) return table + word * layout.depth;
  parallel_ranges(threads, layout.depth, n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) std::copy_n(table + i * layout.padded + word, n, copy + i * n);
  });
  return copy;
}

// Calls body(block, from, count) for the runs of words [word, word + n) that are of one block: `from` counts from
// `word`.
template <typename Body>
void each_block(const Layout2d& layout, int64_t word, int64_t n, const Body& body) {
  for (int64_t at = word; at < word + n;) {
    const int64_t block = at / layout.block, end = std::min((block + 1) * layout.block, word + n);
    body(block, at - word, end - at);
    at = end;
  }
}

template <typename T>
class CrossEntropyKernel : public Kernel {
 public:
  explicit CrossEntropyKernel(const KernelCase& c)
      : context_(c.context),
        layout_(c, c.as<LinearCrossEntropy>().part()),
        mean_(c.as<LinearCrossEntropy>().mean()),
        logits_(layout_, c.context, [&](int64_t m, int64_t n) { return layout_.logits(m, n); }) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    for (int64_t row = 0; row < layout_.rows; row += kRows) {
      const int64_t m = std::min(kRows, layout_.rows - row);
      const Out out{output<T>(outputs, 0) + row * layout_.blocks, output<T>(outputs, 1) + row,
                    output<T>(outputs, 2) + row, output<T>(outputs, 3) + row};
      block_of_rows(input<T>(inputs, 0) + row * layout_.depth, input<T>(inputs, 1), input<int32_t>(inputs, 2) + row, m,
                    out, static_cast<std::byte*>(workspace));
    }
  }

 private:
  struct Out {
    T *log_z, *target, *mean, *largest;
  };

  void block_of_rows(const T* x, const T* table, const int32_t* targets, int64_t m, const Out& out,
                     std::byte* workspace) const {
    T* logits = reinterpret_cast<T*>(workspace);
    T* copy = reinterpret_cast<T*>(workspace += layout_.block_bytes());
    workspace += layout_.copy_bytes();
    const Sums sizes(layout_);
    T* maximum = reinterpret_cast<T*>(workspace);
    double* sum = reinterpret_cast<double*>(workspace + sizes.by_block);
    double* total = reinterpret_cast<double*>(workspace + 2 * sizes.by_block);
    workspace += sizes.bytes();
    std::fill_n(maximum, m * layout_.blocks, -std::numeric_limits<T>::infinity());
    std::fill_n(sum, m * layout_.blocks, 0);
    std::fill_n(total, m, 0);
    std::fill_n(out.target, m, T(0));
    const auto log_sum_exp = context_.loops.of<T>().log_sum_exp;
    for (int64_t word = 0; word < layout_.vocab; word += kColumns) {
      const int64_t n = std::min(kColumns, layout_.vocab - word);
      const T* words = table_block(layout_, context_.threads, table, word, n, copy);
      logits_.of(m, n, layout_).run(x, words, logits, workspace);
      parallel_ranges(context_.threads, m, 8 * n, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          T* row = logits + i * n;
          const int64_t target = layout_.local(targets[i]);
          if (target >= word && target < word + n) out.target[i] = row[target - word];
          each_block(layout_, word, n, [&](int64_t block, int64_t from, int64_t count) {
            const int64_t at = i * layout_.blocks + block;
            total[i] += log_sum_exp(row + from, count, &maximum[at], &sum[at]);
          });
        }
      });
    }
    parallel_ranges(context_.threads, m, 8 * layout_.blocks, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) finish(i, maximum, sum, total[i], out);
    });
  }

  void finish(int64_t i, const T* maximum, const double* sum, double total, const Out& out) const {
    const T none = static_cast<T>(LinearCrossEntropy::kNoWords);
    out.largest[i] = none;
    out.mean[i] = mean_ ? static_cast<T>(total / static_cast<double>(layout_.true_vocab)) : T(0);
    for (int64_t at = i * layout_.blocks; at < (i + 1) * layout_.blocks; ++at) {
      const bool any = sum[at] != 0;  // NaN is
      out.log_z[at] = any ? static_cast<T>(static_cast<double>(maximum[at]) + std::log(sum[at])) : none;
      // As the loops take a maximum, but that NaN stays.
      if (any && !(maximum[at] <= out.largest[i])) out.largest[i] = maximum[at];
    }
  }

  CpuContext context_;
  Layout2d layout_;
  bool mean_;
  BlockGemms logits_;
};

template <typename T>
class CrossEntropyGradientKernel : public Kernel {
 public:
  explicit CrossEntropyGradientKernel(const KernelCase& c)
      : context_(c.context),
        layout_(c, c.as<LinearCrossEntropyGradient>().part()),
        mean_(c.as<LinearCrossEntropyGradient>().mean()),
        logits_(layout_, c.context, [&](int64_t m, int64_t n) { return layout_.logits(m, n); }),
        dx_(layout_, c.context, [&](int64_t m, int64_t n) { return layout_.dx(m, n, false); }),
        dx_add_(layout_, c.context, [&](int64_t m, int64_t n) { return layout_.dx(m, n, true); }),
        dtable_(layout_, c.context, [&](int64_t m, int64_t n) { return layout_.dtable(m, n, false); }),
        dtable_add_(layout_, c.context, [&](int64_t m, int64_t n) { return layout_.dtable(m, n, true); }) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T* x = input<T>(inputs, 0);
    const T* table = input<T>(inputs, 1);
    T* dx = output<T>(outputs, 0);
    T* dtable = output<T>(outputs, 1);
    std::byte* space = static_cast<std::byte*>(workspace);
    T* block = reinterpret_cast<T*>(space);
    T* copy = reinterpret_cast<T*>(space += layout_.block_bytes());
    T* dcopy = reinterpret_cast<T*>(space += layout_.copy_bytes());
    space += layout_.copy_bytes();
    clear_padding(dtable);
    if (layout_.vocab == 0) std::fill_n(dx, layout_.rows * layout_.depth, T(0));
    for (int64_t row = 0; row < layout_.rows; row += kRows) {
      const int64_t m = std::min(kRows, layout_.rows - row), at = row * layout_.depth;
      for (int64_t word = 0; word < layout_.vocab; word += kColumns) {
        const int64_t n = std::min(kColumns, layout_.vocab - word);
        const T* words = table_block(layout_, context_.threads, table, word, n, copy);
        logits_.of(m, n, layout_).run(x + at, words, block, space);
        dlogits(inputs, row, m, word, n, block);
        (word == 0 ? dx_ : dx_add_).of(m, n, layout_).run(block, words, dx + at, space);
        if (layout_.model_first) {
          dtable_.of(m, n, layout_).run(x + at, block, dcopy, space);
          add_block(dcopy, word, n, row > 0, dtable);
        } else {
          (row == 0 ? dtable_ : dtable_add_).of(m, n, layout_).run(block, x + at, dtable + word * layout_.depth, space);
        }
      }
    }
  }

 private:
  void dlogits(std::span<void* const> inputs, int64_t row, int64_t m, int64_t word, int64_t n, T* block) const {
    const int32_t* targets = input<int32_t>(inputs, 2) + row;
    const T* log_z = input<T>(inputs, 3) + row * layout_.blocks;
    const T* d_log_z = input<T>(inputs, 4) + row * layout_.blocks;
    const T* d_target = input<T>(inputs, 5) + row;
    const T* d_mean = mean_ ? input<T>(inputs, 6) + row : nullptr;
    const auto loop = context_.loops.of<T>().cross_entropy_gradient;
    parallel_ranges(context_.threads, m, 8 * n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        T* of_row = block + i * n;
        const T mean = mean_ ? d_mean[i] / static_cast<T>(layout_.true_vocab) : T(0);
        each_block(layout_, word, n, [&](int64_t b, int64_t from, int64_t count) {
          const int64_t at = i * layout_.blocks + b;
          loop(of_row + from, count, log_z[at], d_log_z[at], mean);
        });
        const int64_t target = layout_.local(targets[i]);
        if (target >= word && target < word + n) of_row[target - word] += d_target[i];
      }
    });
  }

  // A copied block [depth, n] to (or, with `add`, onto) its place in dtable.
  void add_block(const T* block, int64_t word, int64_t n, bool add, T* dtable) const {
    parallel_ranges(context_.threads, layout_.depth, n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        T* out = dtable + i * layout_.padded + word;
        if (add)
          context_.loops.of<T>().axpy(T(1), block + i * n, out, n);
        else
          std::copy_n(block + i * n, n, out);
      }
    });
  }

  // Words of padding have no logits and so no gradient.
  void clear_padding(T* dtable) const {
    const int64_t padding = layout_.padded - layout_.vocab;
    if (!layout_.model_first) {
      std::fill_n(dtable + layout_.vocab * layout_.depth, padding * layout_.depth, T(0));
    } else {
      for (int64_t i = 0; i < layout_.depth; ++i)
        std::fill_n(dtable + i * layout_.padded + layout_.vocab, padding, T(0));
    }
  }

  CpuContext context_;
  Layout2d layout_;
  bool mean_;
  BlockGemms logits_, dx_, dx_add_, dtable_, dtable_add_;
};

}  // namespace

std::span<const KernelEntry> cross_entropy_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(LinearCrossEntropy), make_floating<CrossEntropyKernel>, forward_workspace},
      {&typeid(LinearCrossEntropyGradient), make_floating<CrossEntropyGradientKernel>, gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer
