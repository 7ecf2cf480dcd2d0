// The gradient of the output layer: blocks of weights, kept or of logits that are made again, become those of the
// logits' gradients, which at once give their part of dx and of the table's gradient.
#include "core/kernels/cpu/logit_blocks.h"
#include "core/tensor/bfloat16.h"

namespace synthesizer {
namespace {

int64_t workspace(const KernelCase& c) {
  const auto& op = c.as<LinearCrossEntropyGradient>();
  const LogitBlocks layout(c.inputs[0], c.in(1), op.part());
  return layout.gradient_step_bytes(op.options().kept) + layout.copy_bytes() + layout.gradient_copy_bytes() +
         layout.dx_bytes() + products_workspace(layout, c.context.gemm_threads(), true);
}

template <typename T>
class CrossEntropyGradientKernel : public Kernel {
 public:
  explicit CrossEntropyGradientKernel(const KernelCase& c)
      : context_(c.context),
        layout_(c.inputs[0], c.in(1), c.as<LinearCrossEntropyGradient>().part()),
        options_(c.as<LinearCrossEntropyGradient>().options()),
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
    C* logits = reinterpret_cast<C*>(space);  // where they are made again
    T* block = reinterpret_cast<T*>(!options_.kept && layout_.narrow() ? space + layout_.logits_bytes() : space);
    T* copy = reinterpret_cast<T*>(space += layout_.gradient_step_bytes(options_.kept));
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
        if (!options_.kept) logits_.of(m, n, layout_).run(x + at, words, logits, space);
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

  // From the weights that were kept, or from `logits` [m, n].
  void dlogits(std::span<void* const> inputs, int64_t row, int64_t m, int64_t word, int64_t n, const C* logits,
               T* block) const {
    const int32_t* targets = input<int32_t>(inputs, 2) + row;
    const T* kept = options_.kept ? input<T>(inputs, 3) + row * layout_.padded + word : nullptr;
    const C* log_z = options_.kept ? nullptr : input<C>(inputs, 3) + row * layout_.blocks;
    const C* d_log_z = input<C>(inputs, 4) + row * layout_.blocks;
    const C* d_target = input<C>(inputs, 5) + row;
    const C* d_mean = options_.mean ? input<C>(inputs, 6) + row : nullptr;
    const auto& loops = context_.loops.of<T>();
    parallel_ranges(context_.threads, m, 8 * n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const C mean = options_.mean ? d_mean[i] / static_cast<C>(layout_.true_vocab) : C(0);
        const int64_t target = layout_.local(targets[i]);
        T* const row_block = block + i * n;
        if (options_.kept && i + kAhead < end) prefetch<0>(kept + (i + kAhead) * layout_.padded, n);
        each_block(layout_, word, n, [&](int64_t b, int64_t from, int64_t count) {
          const int64_t at = i * layout_.blocks + b;
          const T* weights = row_block + from;
          if (options_.kept)
            weights = kept + i * layout_.padded + from;
          else
            loops.word_weights(logits + i * n + from, row_block + from, count, log_z[at]);
          // The target's own, with what is added to it, is rounded once.
          const int64_t place = target - word - from;
          const bool here = place >= 0 && place < count;
          const C of_target = here ? d_log_z[at] * widened(weights[place]) + mean + d_target[i] : C(0);
          loops.cross_entropy_gradient(weights, row_block + from, count, d_log_z[at], mean);
          if (here) row_block[from + place] = rounded<T>(of_target);
        });
      }
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
  BlockGemms logits_, dx_, dx_add_, dtable_, dtable_add_;
};

}  // namespace

std::span<const KernelEntry> cross_entropy_gradient_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(LinearCrossEntropyGradient), make_by_input<CrossEntropyGradientKernel>, workspace}};
  return kEntries;
}

}  // namespace synthesizer
