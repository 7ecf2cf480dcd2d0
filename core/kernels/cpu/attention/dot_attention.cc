// Attention by blocks: a thread takes an example and a head, packs its keys and values, and goes through blocks of
// queries and keys; of the scores only one block is there. Keys and values of all pairs lie side by side, so that
// their scores are one product.
#include "core/ops/dot_attention.h"

#include <cmath>
#include <limits>

#include "core/kernels/cpu/attention/blocks.h"
#include "core/kernels/cpu/attention/pack.h"
#include "core/kernels/cpu/attention/scores_apart.h"
#include "core/kernels/cpu/parallel.h"

namespace synthesizer {
namespace {

// What one thread works on. E is the type of what is multiplied, T that of scores and sums.
template <typename E>
struct ForwardScratch {
  using T = Compute<E>;

  ForwardScratch(const AttentionShape& s, std::byte* memory) {
    Carver carver(memory);
    keys = carver.take<E>(s.packs_keys() ? s.memory * s.inner : 0);
    queries = carver.take<E>(s.queries.size * s.inner);
    scores = carver.take<T>(s.queries.size * s.keys.size);
    mixed = carver.take<T>(s.queries.size * s.head);
    maximum = carver.take<T>(s.queries.size);
    sum = carver.take<double>(s.queries.size);
    mask = carver.take<int32_t>(s.memory);
    placed = carver.take<T>(s.keys.size);
    prepared_keys = carver.take<std::byte>(BlockGemm::prepared_bytes(s, scores_product));
    prepared_values = carver.take<std::byte>(BlockGemm::prepared_bytes(s, mix_product));
    key_blocks = carver.take<const void*>(s.keys.count);
    value_blocks = carver.take<const void*>(s.keys.count);
    product = carver.take<std::byte>(BlockGemm::workspace(s, {scores_product, mix_product}));
    bytes = carver.used();
  }

  E *keys, *queries;
  T *scores, *mixed, *maximum, *placed;
  double* sum;
  int32_t* mask;
  std::byte *prepared_keys, *prepared_values, *product;
  const void **key_blocks, **value_blocks;  // prepared
  int64_t bytes;
};

template <typename E>
class DotAttentionKernel : public Kernel {
 public:
  using T = Compute<E>;

  explicit DotAttentionKernel(const KernelCase& c)
      : context_(c.context),
        loops_(c.context.loops.of<T>()),
        options_(c.as<DotAttention>().options()),
        s_(c, options_),
        scores_(s_, scores_product, c.context),
        mix_(s_, mix_product, c.context),
        apart_(s_, c.context, false),
        stored_(c.context.loops.of<E>()),
        scratch_bytes_(ForwardScratch<E>(s_, nullptr).bytes) {}

  static int64_t workspace(const KernelCase& c) {
    const AttentionShape s(c, c.as<DotAttention>().options());
    return c.context.threads * ForwardScratch<E>(s, nullptr).bytes + ScoresApart<E>::workspace(s, c.context, false);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    apart_.begin(inputs, static_cast<std::byte*>(workspace) + context_.threads * scratch_bytes_);
    const int64_t at_a_time = s_.has_apart() ? s_.examples_at_a_time() : s_.batch;
    for (int64_t first = 0; first < s_.batch; first += at_a_time) {
      const int64_t count = std::min(at_a_time, s_.batch - first);
      apart_.run_scores(inputs, first, count);
      attend_examples(inputs, outputs, first, count, static_cast<std::byte*>(workspace));
    }
    context_.count(&KernelCounters::softmax_runs, 1);
    context_.count(&KernelCounters::softmax_rows, s_.batch * s_.heads * s_.length);
  }

 private:
  void attend_examples(std::span<void* const> inputs, std::span<void* const> outputs, int64_t first, int64_t examples,
                       std::byte* workspace) {
    // Pieces of queries for the threads that examples and heads leave without work.
    const int64_t pairs = examples * s_.heads, wanted = context_.threads > 1 ? 2 * context_.threads : 1;
    const int64_t parts = std::clamp<int64_t>((wanted + pairs - 1) / pairs, 1, s_.queries.count);
    const int64_t cost = s_.length * s_.memory * (s_.inner + s_.head) / parts;
    parallel_pieces(context_.threads, pairs * parts, cost, [&](int64_t piece) {
      const int64_t pair = piece / parts, part = piece % parts, count = s_.queries.count;
      const ForwardScratch<E> scratch(s_, workspace + omp_get_thread_num() * scratch_bytes_);
      attend(inputs, outputs, first + pair / s_.heads, pair % s_.heads, count * part / parts,
             count * (part + 1) / parts, scratch);
    });
  }

  // The query blocks [first, last) of one example's head.
  void attend(std::span<void* const> inputs, std::span<void* const> outputs, int64_t b, int64_t h, int64_t first,
              int64_t last, const ForwardScratch<E>& scratch) {
    const Places places = places_of(s_, options_, inputs);
    const E* const all_keys = pack_keys<E>(s_, places, inputs, b, h, scratch.keys);
    const E* const values = input<E>(inputs, options_.values()) + s_.at(b, s_.memory, 0, h, s_.head);
    const T* addend = options_.addend ? input<T>(inputs, options_.values() + 1) : nullptr;
    VisibleKeys visible(s_, options_.causal, mask_of(options_, inputs), segments_of(options_, inputs), scratch.mask);
    const int thread = omp_get_thread_num();
    scores_.prepare(thread, all_keys, s_.key_stride(), scratch.prepared_keys, scratch.key_blocks);
    mix_.prepare(thread, values, s_.value_stride(), scratch.prepared_values, scratch.value_blocks);
    for (int64_t block = first; block < last; ++block) {
      const int64_t rows = s_.queries.size_of(block);
      pack_queries<E>(s_, inputs, b, h, block, scratch.queries);
      std::fill_n(scratch.mixed, rows * s_.head, T(0));
      std::fill_n(scratch.maximum, rows, -std::numeric_limits<T>::infinity());
      std::fill_n(scratch.sum, rows, 0.0);
      for (int64_t keys = 0; keys < s_.keys.count; ++keys) {
        if (!visible.enter(b, block, keys)) continue;
        if (s_.inner > 0)
          scores_.at(thread, block, keys)
              .run_prepared(scratch.queries, scratch.key_blocks[keys], scratch.scores, scratch.product);
        else
          std::fill_n(scratch.scores, rows * s_.keys.size, T(0));
        normalise(b, h, block, keys, addend, places, visible, scratch);
        mix_.at(thread, block, keys)
            .run_prepared(as_weights<E>(scratch.scores), scratch.value_blocks[keys], scratch.mixed, scratch.product);
      }
      finish(outputs, b, h, block, visible, scratch);
    }
  }

  // Scores to exponentials; what earlier keys gave is made smaller where a row has a new maximum.
  void normalise(int64_t b, int64_t h, int64_t block, int64_t keys, const T* addend, const Places& places,
                 VisibleKeys& visible, const ForwardScratch<E>& scratch) const {
    const int64_t columns = s_.keys.size_of(keys), begin = s_.keys.begin(keys);
    for (int64_t row = 0; row < s_.queries.size_of(block); ++row) {
      const int64_t i = s_.queries.begin(block) + row, at = row * s_.keys.size;
      const Place place = places.of(b, i);
      if (s_.has_apart())
        loops_.axpy(T(1), placed(apart_.scores(b, h, i), place.shift, begin, columns, scratch.placed),
                    scratch.scores + at, columns);
      const T* more = addend == nullptr
                          ? nullptr
                          : placed(addend + s_.addend_row(h, place.row), place.shift, begin, columns, scratch.placed);
      const T scale =
          stored_.attention_row(scratch.scores + at, more, visible.mask(row), as_weights<E>(scratch.scores + at),
                                columns, visible.seen(row), &scratch.maximum[row], &scratch.sum[row]);
      if (scale != T(1)) multiply(scratch.mixed + row * s_.head, scale);
    }
  }

  void finish(std::span<void* const> outputs, int64_t b, int64_t h, int64_t block, const VisibleKeys& visible,
              const ForwardScratch<E>& scratch) const {
    for (int64_t row = 0; row < s_.queries.size_of(block); ++row) {
      const int64_t i = s_.queries.begin(block) + row;
      E* y = output<E>(outputs, 0) + s_.at(b, s_.length, i, h, s_.head);
      T* log_sum = output<T>(outputs, 1) + (b * s_.heads + h) * s_.length + i;
      const double sum = scratch.sum[row];
      const bool none = sum == 0 && !visible.any(b, i);
      const T factor = none ? T(0) : static_cast<T>(1 / sum);  // logits that are all −∞ give NaN, as a softmax does
      multiply(scratch.mixed + row * s_.head, factor);
      stored_.store(scratch.mixed + row * s_.head, y, s_.head);
      *log_sum = none ? T(0) : static_cast<T>(static_cast<double>(scratch.maximum[row]) + std::log(sum));
    }
  }

  void multiply(T* x, T factor) const {
    loops_.unary[static_cast<size_t>(UnaryFunction::kAffine)](x, x, s_.head, factor, T(0));
  }

  CpuContext context_;
  Loops<T> loops_;
  DotAttentionOptions options_;
  AttentionShape s_;
  BlockGemm scores_, mix_;
  ScoresApart<E> apart_;
  Loops<E> stored_;
  int64_t scratch_bytes_;
};

}  // namespace

std::span<const KernelEntry> dot_attention_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(DotAttention), make_by_output<DotAttentionKernel>, workspace_by_output<DotAttentionKernel>}};
  return kEntries;
}

}  // namespace synthesizer
