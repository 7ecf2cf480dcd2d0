// The gradient of the output layer: blocks of weights, kept or of logits that are made again, become those of the
// logits' gradients, which at once give their part of dx and of the table's gradient.
#include "core/kernels/cpu/logit_rows.h"
#include "core/tensor/bfloat16.h"

namespace synthesizer {
namespace {

int64_t workspace(const KernelCase& c) {
  const auto& op = c.as<LinearCrossEntropyGradient>();
  const LogitBlocks layout(c.inputs[0], c.in(1), op.part());
  const int64_t products = products_workspace(layout, c.context.gemm_threads());
  const int64_t logits = op.options().kept ? 0 : c.context.threads * LogitRowsSpace(layout, !layout.narrow()).bytes;
  return layout.gradient_bytes() + layout.copy_bytes() + layout.gradient_copy_bytes() + layout.dx_bytes() +
         std::max(products, logits);
}

template <typename T>
class CrossEntropyGradientKernel : public Kernel {
 public:
  explicit CrossEntropyGradientKernel(const KernelCase& c)
      : context_(c.context),
        layout_(c.inputs[0], c.in(1), c.as<LinearCrossEntropyGradient>().part()),
        options_(c.as<LinearCrossEntropyGradient>().options()),
        logits_(layout_, c.context, kInPlace),
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
    T* block = reinterpret_cast<T*>(space);
    T* copy = reinterpret_cast<T*>(space += layout_.gradient_bytes());
    C* dcopy = reinterpret_cast<C*>(space += layout_.copy_bytes());
    C* wide_dx = reinterpret_cast<C*>(space += layout_.gradient_copy_bytes());
    space += layout_.dx_bytes();
    clear_padding(dtable);
    if (layout_.vocab == 0) std::fill_n(dx, layout_.rows * layout_.depth, T{});
    for (int64_t row = 0; row < layout_.rows; row += kRows) {
      const int64_t m = std::min(kRows, layout_.rows - row), at = row * layout_.depth;
      C* dx_sum = wide_dx;
      if constexpr (std::is_same_v<T, C>) dx_sum = dx + at;
      for (int64_t word = 0; word < layout_.vocab; word += layout_.columns) {
        const int64_t n = std::min(layout_.columns, layout_.vocab - word);
        const T* words = table_block<T>(layout_, context_, table, word, n, copy);
        if (options_.kept)
          parallel_ranges(context_.threads, m, 8 * n,
                          [&](int64_t begin, int64_t end) { from_kept(inputs, row, begin, end, word, n, block); });
        else
          from_logits(inputs, row, m, word, n, words, space, block);
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
  using Rows = LogitRows<T>;
  static constexpr bool kInPlace = std::is_same_v<T, C>;  // logits become their gradients where they are

  // Gradients of the logits of rows [begin, end) after `row`, from the weights that were kept.
  void from_kept(std::span<void* const> inputs, int64_t row, int64_t begin, int64_t end, int64_t word, int64_t n,
                 T* block) const {
    const T* const kept = input<T>(inputs, 3) + row * layout_.padded + word;
    for (int64_t i = begin; i < end; ++i) {
      if (i + kAhead < end) prefetch<0>(kept + (i + kAhead) * layout_.padded, n);
      dlogits(inputs, row + i, word, n, kept + i * layout_.padded, block + i * n);
    }
  }

  // The same of all m rows, of logits that are made as forward made them.
  void from_logits(std::span<void* const> inputs, int64_t row, int64_t m, int64_t word, int64_t n, const T* words,
                   std::byte* space, T* block) const {
    const C* const log_z = input<C>(inputs, 3) + row * layout_.blocks;
    C* place = nullptr;
    if constexpr (kInPlace) place = block;
    const int64_t together = (m + Rows::kTogether - 1) / Rows::kTogether;
    const int64_t parts = std::min<int64_t>(together, context_.threads);  // each has the words prepared for itself
    parallel_pieces(context_.threads, parts, m * n * layout_.depth / parts, [&](int64_t part) {
      logits_.each(
          input<T>(inputs, 0) + row * layout_.depth, words, n, together * part / parts * Rows::kTogether,
          std::min(m, together * (part + 1) / parts * Rows::kTogether), place, space, [&](int64_t i, const C* logits) {
            T* const weights = block + i * n;
            each_block(layout_, word, n, [&](int64_t b, int64_t from, int64_t count) {
              context_.loops.of<T>().word_weights(logits + from, weights + from, count, log_z[i * layout_.blocks + b]);
            });
            dlogits(inputs, row + i, word, n, weights, weights);
          });
    });
  }

  // Row i's gradients of n words from their weights, which may lie in the same place.
  void dlogits(std::span<void* const> inputs, int64_t i, int64_t word, int64_t n, const T* weights, T* out) const {
    const C* d_log_z = input<C>(inputs, 4) + i * layout_.blocks;
    const C mean = options_.mean ? input<C>(inputs, 6)[i] / static_cast<C>(layout_.true_vocab) : C(0);
    const int64_t target = layout_.local(input<int32_t>(inputs, 2)[i]) - word;
    each_block(layout_, word, n, [&](int64_t b, int64_t from, int64_t count) {
      // The target's own, with what is added to it, is rounded once.
      const bool here = target >= from && target < from + count;
      const C of_target = here ? d_log_z[b] * widened(weights[target]) + mean + input<C>(inputs, 5)[i] : C(0);
      context_.loops.of<T>().cross_entropy_gradient(weights + from, out + from, count, d_log_z[b], mean);
      if (here) out[target] = rounded<T>(of_target);
    });
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
  LogitBlocks layout_;
  CrossEntropyOptions options_;
  Rows logits_;
  BlockGemms dx_, dx_add_, dtable_, dtable_add_;
};

}  // namespace

std::span<const KernelEntry> cross_entropy_gradient_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(LinearCrossEntropyGradient), make_by_input<CrossEntropyGradientKernel>, workspace}};
  return kEntries;
}

}  // namespace synthesizer
