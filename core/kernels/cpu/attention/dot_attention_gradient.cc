// The gradient of attention by blocks: scores are made again, and weights follow from the sums that forward kept. What
// sums over the examples is summed in an order that depends on the shape alone: a few groups of examples, each in
// order, then the groups.
#include <algorithm>
#include <array>

#include "core/kernels/cpu/attention/blocks.h"
#include "core/kernels/cpu/attention/group_sums.h"
#include "core/kernels/cpu/attention/pack.h"
#include "core/kernels/cpu/attention/scores_apart.h"
#include "core/kernels/cpu/parallel.h"

namespace synthesizer {
namespace {

// What one thread works on. E is the type of what is multiplied, T that of scores and sums.
template <typename E>
struct GradientScratch {
  using T = Compute<E>;

  GradientScratch(const AttentionShape& s, std::byte* memory) {
    Carver carver(memory);
    keys = carver.take<E>(s.packs_keys() ? s.memory * s.inner : 0);
    dkeys = carver.take<T>(s.memory * s.inner);
    dvalues = carver.take<T>(s.memory * s.head);
    queries = carver.take<E>(s.queries.size * s.inner);
    dqueries = carver.take<T>(s.queries.size * s.inner);
    dy = carver.take<E>(s.queries.size * s.head);
    scores = carver.take<T>(s.queries.size * s.keys.size * s.keys.count);
    dscores = carver.take<T>(s.queries.size * s.keys.size * s.keys.count);
    mask = carver.take<int32_t>(s.memory);
    placed = carver.take<T>(s.keys.size);
    seen = carver.take<int32_t>(s.keys.count);
    for (size_t i = 0; i < kPrepared.size(); ++i) {
      prepared[i] = carver.take<std::byte>(BlockGemm::prepared_bytes(s, kPrepared[i]));
      blocks[i] = carver.take<const void*>(s.keys.count);
    }
    product = carver.take<std::byte>(
        BlockGemm::workspace(s, {scores_product, weights_gradient_product, values_gradient_product,
                                 keys_gradient_product, queries_gradient_product}));
    bytes = carver.used();
  }

  // Of those products that have keys or values for their B.
  static constexpr std::array<BlockProduct, 3> kPrepared = {scores_product, weights_gradient_product,
                                                            queries_gradient_product};

  E *keys, *queries, *dy;
  T *dkeys, *dvalues, *dqueries, *scores, *dscores;  // scores of all keys
  T* placed;
  int32_t *mask, *seen;  // seen: key blocks of which the query block sees any key
  std::array<std::byte*, 3> prepared;
  std::array<const void**, 3> blocks;
  std::byte* product;
  int64_t bytes;
};

template <typename E>
class DotAttentionGradientKernel : public Kernel {
 public:
  using T = Compute<E>;

  explicit DotAttentionGradientKernel(const KernelCase& c)
      : context_(c.context),
        loops_(c.context.loops.of<T>()),
        stored_(c.context.loops.of<E>()),
        op_(c.as<DotAttentionGradient>()),
        s_(c, op_.options()),
        scores_(s_, scores_product, c.context),
        weights_(s_, weights_gradient_product, c.context),
        values_(s_, values_gradient_product, c.context),
        keys_(s_, keys_gradient_product, c.context),
        queries_(s_, queries_gradient_product, c.context),
        apart_(s_, c.context, true),
        groups_(groups_of(s_, op_)),
        sums_(sums_of(s_, op_)),
        scratch_bytes_(GradientScratch<E>(s_, nullptr).bytes) {}

  static int64_t workspace(const KernelCase& c) {
    const auto& op = c.as<DotAttentionGradient>();
    const AttentionShape s(c, op.options());
    return c.context.threads * GradientScratch<E>(s, nullptr).bytes + sums_of(s, op).bytes() +
           ScoresApart<E>::workspace(s, c.context, true);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    std::byte* const space = static_cast<std::byte*>(workspace);
    const Memory memory{outputs, space + context_.threads * scratch_bytes_};
    if (s_.has_apart()) {
      run_with_apart(inputs, memory, space);
    } else {
      heads_of_groups(groups_, s_.batch / groups_, space, [&](int64_t group, int64_t h, const Scratch& scratch) {
        begin_sums(memory, group, h, scratch);
        for (int64_t b = s_.batch * group / groups_; b < s_.batch * (group + 1) / groups_; ++b)
          example(inputs, memory, group, b, h, scratch);
        if (!keys_by_example()) add_shared_keys(places_of(s_, op_.options(), inputs), memory, group, 0, h, scratch);
      });
    }
    sums_.finish(memory, context_.threads, loops_);
  }

 private:
  using Scratch = GradientScratch<E>;

  using Memory = typename GroupSums<T>::Memory;

  // By pair (nothing of those whose keys are not shared), and last the addend.
  static GroupSums<T> sums_of(const AttentionShape& s, const DotAttentionGradient& op) {
    GroupSums<T> sums(groups_of(s, op), s.heads);
    for (const auto& pair : s.pairs) sums.add(2 * pair.at + 1, pair.shared ? pair.width * s.memory : 0);
    sums.add(op.options().values() + 1, op.to_addend() ? s.addend_rows * s.memory : 0);
    return sums;
  }

  // With pairs apart a group has one of the examples that there are at a time, else those that follow one another.
  static int64_t groups_of(const AttentionShape& s, const DotAttentionGradient& op) {
    const bool sums = op.to_addend() || s.has_apart() ||
                      std::any_of(s.pairs.begin(), s.pairs.end(), [](auto& pair) { return pair.shared; });
    return sums ? s.examples_at_a_time() : s.batch;
  }

  // Calls work(group, head, scratch) for all heads of the first `groups` groups, of so many examples each.
  template <typename Work>
  void heads_of_groups(int64_t groups, int64_t examples, std::byte* space, Work work) const {
    const int64_t cost = s_.length * s_.memory * (3 * s_.inner + 2 * s_.head) * examples;
    parallel_pieces(context_.threads, groups * s_.heads, cost, [&](int64_t piece) {
      const Scratch scratch(s_, space + omp_get_thread_num() * scratch_bytes_);
      work(piece / s_.heads, piece % s_.heads, scratch);
    });
  }

  void run_with_apart(std::span<void* const> inputs, const Memory& memory, std::byte* space) {
    apart_.begin(inputs, memory.others + sums_.bytes());
    for (int64_t first = 0; first < s_.batch; first += groups_) {
      const int64_t count = std::min(groups_, s_.batch - first);
      apart_.run_scores(inputs, first, count);
      heads_of_groups(count, 1, space, [&](int64_t group, int64_t h, const Scratch& scratch) {
        if (first == 0) begin_sums(memory, group, h, scratch);
        example(inputs, memory, group, first + group, h, scratch);
      });
      apart_.run_gradients(inputs, memory.outputs);
    }
  }

  // Whether shared keys' gradients of an example go to the group's sum at once: those of the next are of other places,
  // or made in another scratch.
  bool keys_by_example() const { return op_.options().positions || s_.has_apart(); }

  T* daddend_of(const Memory& memory, int64_t group, int64_t h) const {
    return op_.to_addend() ? sums_.at(s_.pairs.size(), memory, group, h) : nullptr;
  }

  void begin_sums(const Memory& memory, int64_t group, int64_t h, const Scratch& scratch) const {
    std::fill_n(scratch.dkeys, s_.memory * s_.inner, T(0));
    sums_.clear(memory, group, h);
  }

  void add_shared_keys(const Places& places, const Memory& memory, int64_t group, int64_t b, int64_t h,
                       const Scratch& scratch) const {
    for (size_t p = 0; p < s_.pairs.size(); ++p) {
      const auto& pair = s_.pairs[p];
      if (!pair.shared) continue;
      T* const sum = sums_.at(p, memory, group, h);
      const auto add = [&](int64_t first, int64_t count, int64_t place) {
        add_transposed(scratch.dkeys + first * s_.inner + pair.begin, s_.inner, count, pair.width, sum + place,
                       s_.memory);
      };
      if (places.given())
        places.each_run(b, add);
      else
        add(0, s_.memory, 0);
    }
  }

  // dkeys has the sums of earlier examples where keys are shared, but if keys_by_example().
  void example(std::span<void* const> inputs, const Memory& memory, int64_t group, int64_t b, int64_t h,
               const Scratch& scratch) {
    const DotAttentionOptions& options = op_.options();
    const std::span<void* const> outputs = memory.outputs;
    const int64_t values = s_.at(b, s_.memory, 0, h, s_.head), stride = s_.heads * s_.head;
    const Places places = places_of(s_, options, inputs);
    const E* const all_keys = pack_keys<E>(s_, places, inputs, b, h, scratch.keys);
    const E* const all_values = input<E>(inputs, options.values()) + values;
    std::fill_n(scratch.dvalues, s_.memory * s_.head, T(0));
    for (const auto& pair : s_.pairs)
      if (!pair.shared || keys_by_example())
        for (int64_t j = 0; j < s_.memory; ++j)
          std::fill_n(scratch.dkeys + j * s_.inner + pair.begin, pair.width, T(0));
    const int thread = omp_get_thread_num();
    scores_.prepare(thread, all_keys, s_.key_stride(), scratch.prepared[0], scratch.blocks[0]);
    weights_.prepare(thread, all_values, stride, scratch.prepared[1], scratch.blocks[1]);
    queries_.prepare(thread, all_keys, s_.key_stride(), scratch.prepared[2], scratch.blocks[2]);
    VisibleKeys visible(s_, options.causal, mask_of(options, inputs), segments_of(options, inputs), scratch.mask);
    T* const daddend = daddend_of(memory, group, h);
    for (int64_t block = 0; block < s_.queries.count; ++block)
      query_block(inputs, outputs, b, h, block, places, visible, daddend, scratch);
    store_rows(stored_, scratch.dvalues, s_.head, s_.memory, s_.head, output<E>(outputs, options.values()) + values,
               stride);
    for (const auto& pair : s_.pairs)
      if (!pair.shared)
        store_rows(stored_, scratch.dkeys + pair.begin, s_.inner, s_.memory, pair.width,
                   output<E>(outputs, 2 * pair.at + 1) + s_.at(b, s_.memory, 0, h, pair.width), s_.heads * pair.width);
    if (keys_by_example()) add_shared_keys(places, memory, group, b, h, scratch);
  }

  // `daddend`: of the head, or null.
  void query_block(std::span<void* const> inputs, std::span<void* const> outputs, int64_t b, int64_t h, int64_t block,
                   const Places& places, VisibleKeys& visible, T* daddend, const Scratch& scratch) {
    const int thread = omp_get_thread_num();
    const int64_t rows = s_.queries.size_of(block);
    const bool pairs = s_.inner > 0;
    pack_queries<E>(s_, inputs, b, h, block, scratch.queries);
    copy_rows(input<E>(inputs, op_.options().inputs() + 1) + s_.at(b, s_.length, s_.queries.begin(block), h, s_.head),
              s_.heads * s_.head, rows, s_.head, scratch.dy, s_.head);
    std::fill_n(scratch.dqueries, rows * s_.inner, T(0));
    int64_t seen = 0;
    for (int64_t keys = 0; keys < s_.keys.count; ++keys) {
      if (!visible.enter(b, block, keys)) continue;
      scratch.seen[seen++] = static_cast<int32_t>(keys);
      if (pairs)
        scores_.at(thread, block, keys)
            .run_prepared(scratch.queries, scratch.blocks[0][keys], of_keys(scratch.scores, keys), scratch.product);
      else
        std::fill_n(of_keys(scratch.scores, keys), rows * s_.keys.size, T(0));
      weights_.at(thread, block, keys)
          .run_prepared(scratch.dy, scratch.blocks[1][keys], of_keys(scratch.dscores, keys), scratch.product);
    }
    const std::span<const int32_t> key_blocks(scratch.seen, static_cast<size_t>(seen));
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t i = s_.queries.begin(block) + row;
      const Place place = places.of(b, i);
      score_row(inputs, b, h, i, row, place, key_blocks, visible, daddend, scratch);
      if (s_.has_apart()) put_apart(apart_.score_gradients(b, h, i), row, place, key_blocks, scratch);
    }
    for (const int32_t keys : key_blocks) {
      const E* p = as_weights<E>(of_keys(scratch.scores, keys));
      const E* ds = as_weights<E>(of_keys(scratch.dscores, keys));
      const int64_t from = s_.keys.begin(keys);
      values_.at(thread, block, keys).run(p, scratch.dy, scratch.dvalues + from * s_.head, scratch.product);
      if (!pairs) continue;
      keys_.at(thread, block, keys).run(ds, scratch.queries, scratch.dkeys + from * s_.inner, scratch.product);
      queries_.at(thread, block, keys).run_prepared(ds, scratch.blocks[2][keys], scratch.dqueries, scratch.product);
    }
    for (const auto& pair : s_.pairs)
      store_rows(stored_, scratch.dqueries + pair.begin, s_.inner, rows, pair.width,
                 output<E>(outputs, 2 * pair.at) + s_.at(b, s_.length, s_.queries.begin(block), h, pair.width),
                 s_.heads * pair.width);
  }

  // Of the query block that is gone through, what there is of one key block.
  template <typename X>
  X* of_keys(X* all, int64_t keys) const {
    return all + keys * s_.queries.size * s_.keys.size;
  }

  // One query's scores to weights P and, from dP, to their own gradients P (dP − mean), while the row is in cache. (The
  // mean, of dP by weight, is dY·Y too, but only nearly: of a query that sees one key the gradient must come out as
  // exactly 0, or an optimizer that divides by its size makes a step of what rounding has left.)
  void score_row(std::span<void* const> inputs, int64_t b, int64_t h, int64_t i, int64_t row, const Place& place,
                 std::span<const int32_t> key_blocks, VisibleKeys& visible, T* daddend, const Scratch& scratch) const {
    const DotAttentionOptions& options = op_.options();
    const int64_t at = row * s_.keys.size;
    const T* addend = options.addend ? input<T>(inputs, options.values() + 1) + s_.addend_row(h, place.row) : nullptr;
    const T log_sum = input<T>(inputs, options.inputs())[(b * s_.heads + h) * s_.length + i];
    double mean = 0;
    for (const int32_t keys : key_blocks) {
      const int64_t begin = s_.keys.begin(keys), columns = s_.keys.size_of(keys);
      visible.go_to(keys);
      T* const scores = of_keys(scratch.scores, keys) + at;
      if (s_.has_apart())
        loops_.axpy(T(1), placed(apart_.scores(b, h, i), place.shift, begin, columns, scratch.placed), scores, columns);
      const T* more = addend == nullptr ? nullptr : placed(addend, place.shift, begin, columns, scratch.placed);
      mean += loops_.attention_weights_row(scores, more, visible.mask(row), log_sum,
                                           of_keys(scratch.dscores, keys) + at, columns, visible.seen(row));
    }
    T* const drow = daddend == nullptr ? nullptr : daddend + s_.addend_row(0, place.row);
    for (const int32_t keys : key_blocks) {
      const int64_t begin = s_.keys.begin(keys), columns = s_.keys.size_of(keys);
      visible.go_to(keys);
      const bool inside = begin >= place.shift;
      T* const dmore = drow == nullptr ? nullptr : inside ? drow + (begin - place.shift) : scratch.placed;
      if (drow != nullptr && !inside) std::fill_n(dmore, columns, T(0));
      stored_.attention_gradient_row(of_keys(scratch.scores, keys) + at, of_keys(scratch.dscores, keys) + at,
                                     static_cast<T>(mean), columns, visible.seen(row), dmore,
                                     as_weights<E>(of_keys(scratch.scores, keys) + at),
                                     as_weights<E>(of_keys(scratch.dscores, keys) + at));
      if (drow != nullptr && !inside) add_placed(dmore, place.shift, begin, columns, drow);
    }
  }

  // The gradients of a query's scores, to where those of pairs apart are, by places.
  void put_apart(E* to, int64_t row, const Place& place, std::span<const int32_t> key_blocks,
                 const Scratch& scratch) const {
    std::fill_n(to, s_.memory, E{});
    for (const int32_t keys : key_blocks) {
      const int64_t begin = s_.keys.begin(keys), columns = s_.keys.size_of(keys);
      const int64_t outside = std::clamp<int64_t>(place.shift - begin, 0, columns);
      const E* const from = as_weights<E>(of_keys(scratch.dscores, keys) + row * s_.keys.size);
      std::copy(from + outside, from + columns, to + begin + outside - place.shift);
    }
  }

  CpuContext context_;
  Loops<T> loops_;
  Loops<E> stored_;
  const DotAttentionGradient op_;
  AttentionShape s_;
  BlockGemm scores_, weights_, values_, keys_, queries_;
  ScoresApart<E> apart_;
  int64_t groups_;  // of examples
  GroupSums<T> sums_;
  int64_t scratch_bytes_;
};

}  // namespace

std::span<const KernelEntry> dot_attention_gradient_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(DotAttentionGradient), make_by_output<DotAttentionGradientKernel>,
                                          workspace_by_output<DotAttentionGradientKernel>}};
  return kEntries;
}

}  // namespace synthesizer
