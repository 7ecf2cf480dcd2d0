// The output layer and its loss: logits exist only as a block [rows, columns] of workspace, columns of the vocabulary
// in turn with a running maximum and sum (Milakov & Gimelshein 2018, "Online normalizer calculation for softmax"); the
// gradient makes the same blocks again.
#include "core/ops/cross_entropy.h"

#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

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
  // Of logits, in the type that is calculated in.
  int64_t block_bytes() const { return align_up(block_elements() * size_of(compute_type(dtype))); }
  // Of their gradients, where they are of another type: they enter products.
  int64_t gradient_bytes() const { return narrow() ? align_up(block_elements() * size_of(dtype)) : 0; }
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

// After the logits: running maximum (as Compute<T>) and sum (double) of each row by block of words, and its total
// (double).
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
  return layout.block_bytes() + layout.gradient_bytes() + layout.copy_bytes() + layout.gradient_copy_bytes() +
         layout.dx_bytes() + products_workspace(layout, c.context.gemm_threads(), true);
}

// The words [word, word + n) of the table as T, in `copy` if they do not lie densely or are not of T.
template <typename T>
const T* table_block(const Layout2d& layout, const CpuContext& context, const Compute<T>* table, int64_t word,
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
      const Out out{output<C>(outputs, 0) + row * layout_.blocks, output<C>(outputs, 1) + row,
                    output<C>(outputs, 2) + row, output<C>(outputs, 3) + row};
      block_of_rows(input<T>(inputs, 0) + row * layout_.depth, input<C>(inputs, 1), input<int32_t>(inputs, 2) + row, m,
                    out, static_cast<std::byte*>(workspace));
    }
  }

 private:
  using C = Compute<T>;
  struct Out {
    C *log_z, *target, *mean, *largest;
  };

  void block_of_rows(const T* x, const C* table, const int32_t* targets, int64_t m, const Out& out,
                     std::byte* workspace) const {
    C* logits = reinterpret_cast<C*>(workspace);
    T* copy = reinterpret_cast<T*>(workspace += layout_.block_bytes());
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
    const auto log_sum_exp = context_.loops.of<C>().log_sum_exp;
    for (int64_t word = 0; word < layout_.vocab; word += kColumns) {
      const int64_t n = std::min(kColumns, layout_.vocab - word);
      const T* words = table_block<T>(layout_, context_, table, word, n, copy);
      logits_.of(m, n, layout_).run(x, words, logits, workspace);
      parallel_ranges(context_.threads, m, 8 * n, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          C* row = logits + i * n;
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

  void finish(int64_t i, const C* maximum, const double* sum, double total, const Out& out) const {
    const C none = static_cast<C>(LinearCrossEntropy::kNoWords);
    out.largest[i] = none;
    out.mean[i] = mean_ ? static_cast<C>(total / static_cast<double>(layout_.true_vocab)) : C(0);
    for (int64_t at = i * layout_.blocks; at < (i + 1) * layout_.blocks; ++at) {
      const bool any = sum[at] != 0;  // NaN is
      out.log_z[at] = any ? static_cast<C>(static_cast<double>(maximum[at]) + std::log(sum[at])) : none;
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
    const C* table = input<C>(inputs, 1);
    T* dx = output<T>(outputs, 0);
    C* dtable = output<C>(outputs, 1);
    std::byte* space = static_cast<std::byte*>(workspace);
    C* logits = reinterpret_cast<C*>(space);
    T* block = reinterpret_cast<T*>(space += layout_.block_bytes());  // where they are of one type: the logits' own
    if (!layout_.narrow()) block = reinterpret_cast<T*>(logits);
    T* copy = reinterpret_cast<T*>(space += layout_.gradient_bytes());
    C* dcopy = reinterpret_cast<C*>(space += layout_.copy_bytes());
    C* wide_dx = reinterpret_cast<C*>(space += layout_.gradient_copy_bytes());
    space += layout_.dx_bytes();
    clear_padding(dtable);
    if (layout_.vocab == 0) std::fill_n(dx, layout_.rows * layout_.depth, T(0));
    for (int64_t row = 0; row < layout_.rows; row += kRows) {
      const int64_t m = std::min(kRows, layout_.rows - row), at = row * layout_.depth;
      C* dx_sum = wide_dx;
      if constexpr (std::is_same_v<T, C>) dx_sum = dx + at;
      for (int64_t word = 0; word < layout_.vocab; word += kColumns) {
        const int64_t n = std::min(kColumns, layout_.vocab - word);
        const T* words = table_block<T>(layout_, context_, table, word, n, copy);
        logits_.of(m, n, layout_).run(x + at, words, logits, space);
        dlogits(inputs, row, m, word, n, logits, block);
        (word == 0 ? dx_ : dx_add_).of(m, n, layout_).run(block, words, dx_sum, space);
        if (layout_.model_first) {
          dtable_.of(m, n, layout_).run(x + at, block, dcopy, space);
          add_block(dcopy, word, n, row > 0, dtable);
        } else {
          (row == 0 ? dtable_ : dtable_add_).of(m, n, layout_).run(block, x + at, dtable + word * layout_.depth, space);
        }
      }
      if (layout_.narrow() && layout_.vocab > 0)
        parallel_ranges(context_.threads, m * layout_.depth, 1, [&](int64_t begin, int64_t end) {
          context_.loops.of<T>().store(dx_sum + begin, dx + at + begin, end - begin);
        });
    }
  }

 private:
  using C = Compute<T>;

  // From the logits [m, n]; `block` may be the logits.
  void dlogits(std::span<void* const> inputs, int64_t row, int64_t m, int64_t word, int64_t n, const C* logits,
               T* block) const {
    const int32_t* targets = input<int32_t>(inputs, 2) + row;
    const C* log_z = input<C>(inputs, 3) + row * layout_.blocks;
    const C* d_log_z = input<C>(inputs, 4) + row * layout_.blocks;
    const C* d_target = input<C>(inputs, 5) + row;
    const C* d_mean = mean_ ? input<C>(inputs, 6) + row : nullptr;
    const auto loop = context_.loops.of<T>().cross_entropy_gradient;
    parallel_ranges(context_.threads, m, 8 * n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const C mean = mean_ ? d_mean[i] / static_cast<C>(layout_.true_vocab) : C(0);
        const int64_t target = layout_.local(targets[i]);
        const bool here = target >= word && target < word + n;
        // Before the row is overwritten: the target's own, with what is added to it, is rounded once.
        C of_target = 0;
        if (here) {
          const int64_t at = i * layout_.blocks + target / layout_.block;
          loop_of_one(logits[i * n + target - word], log_z[at], d_log_z[at], mean, &of_target);
          of_target += d_target[i];
        }
        each_block(layout_, word, n, [&](int64_t b, int64_t from, int64_t count) {
          const int64_t at = i * layout_.blocks + b;
          loop(logits + i * n + from, block + i * n + from, count, log_z[at], d_log_z[at], mean);
        });
        if (here) context_.loops.of<T>().store(&of_target, block + i * n + target - word, 1);
      }
    });
  }

  void loop_of_one(C logit, C log_z, C d_log_z, C mean, C* d) const {
    context_.loops.of<C>().cross_entropy_gradient(&logit, d, 1, log_z, d_log_z, mean);
  }

  // A copied block [depth, n] to (or, with `add`, onto) its place in dtable.
  void add_block(const C* block, int64_t word, int64_t n, bool add, C* dtable) const {
    parallel_ranges(context_.threads, layout_.depth, n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        C* out = dtable + i * layout_.padded + word;
        if (add)
          context_.loops.of<C>().axpy(1, block + i * n, out, n);
        else
          std::copy_n(block + i * n, n, out);
      }
    });
  }

  // Words of padding have no logits and so no gradient.
  void clear_padding(C* dtable) const {
    const int64_t padding = layout_.padded - layout_.vocab;
    if (!layout_.model_first) {
      std::fill_n(dtable + layout_.vocab * layout_.depth, padding * layout_.depth, C(0));
    } else {
      for (int64_t i = 0; i < layout_.depth; ++i)
        std::fill_n(dtable + i * layout_.padded + layout_.vocab, padding, C(0));
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
      {&typeid(LinearCrossEntropy), make_by_input<CrossEntropyKernel>, forward_workspace},
      {&typeid(LinearCrossEntropyGradient), make_by_input<CrossEntropyGradientKernel>, gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer
