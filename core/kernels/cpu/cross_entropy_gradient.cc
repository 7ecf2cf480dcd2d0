// The gradient of the output layer: the blocks of logits are made again, and at once become those of their gradients,
// which give their part of dx and of the table's gradient.
#include "core/kernels/cpu/logit_blocks.h"

namespace synthesizer {
namespace {

int64_t workspace(const KernelCase& c) {
  const LogitBlocks layout(c.inputs[0], c.in(1), c.as<LinearCrossEntropyGradient>().part());
  return layout.block_bytes() + layout.gradient_bytes() + layout.copy_bytes() + layout.gradient_copy_bytes() +
         layout.dx_bytes() + products_workspace(layout, c.context.gemm_threads(), true);
}

template <typename T>
class CrossEntropyGradientKernel : public Kernel {
 public:
  explicit CrossEntropyGradientKernel(const KernelCase& c)
      : context_(c.context),
        layout_(c.inputs[0], c.in(1), c.as<LinearCrossEntropyGradient>().part()),
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
  LogitBlocks layout_;
  bool mean_;
  BlockGemms logits_, dx_, dx_add_, dtable_, dtable_add_;
};

}  // namespace

std::span<const KernelEntry> cross_entropy_gradient_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(LinearCrossEntropyGradient), make_by_input<CrossEntropyGradientKernel>, workspace}};
  return kEntries;
}

}  // namespace synthesizer
