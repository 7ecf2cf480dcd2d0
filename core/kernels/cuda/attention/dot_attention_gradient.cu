// The gradient of attention: what is made where, copied to where an input was, and added up over groups of examples.
#include <algorithm>

#include "core/kernels/cuda/attention/dot_apart.h"
#include "core/kernels/cuda/attention/dot_forward.h"
#include "core/kernels/cuda/attention/dot_gradient.h"
#include "core/kernels/cuda/attention/shared_keys.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {
namespace {

// sum[i] = Σ of the groups, in order; `add`: and of what is there, before them.
template <typename T>
__global__ void add_groups_kernel(const T* of_group, int groups, int64_t count, bool add, T* sum) {
  for (int64_t i = thread_of_grid(); i < count; i += threads_of_grid()) {
    T total = add ? sum[i] : T(0);
    for (int group = 0; group < groups; ++group) total += of_group[group * count + i];
    sum[i] = total;
  }
}

template <typename E>
class DotAttentionGradientKernel : public Kernel {
 public:
  using T = Compute<E>;

  explicit DotAttentionGradientKernel(const KernelCase& c)
      : context_(c.context),
        op_(c.as<DotAttentionGradient>()),
        s_(c, op_.options()),
        apart_(context_, s_, /*backward=*/true) {}

  static int64_t workspace(const KernelCase& c) {
    const auto& op = c.as<DotAttentionGradient>();
    const DotSizes s(c, op.options());
    Carver carver(nullptr);
    Scratch(s, op.to_addend(), *c.context.products, carver);
    return carver.used();
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    Carver carver(workspace);
    const Scratch scratch(s_, op_.to_addend(), *context_.products, carver);
    const DotArguments<E> all = arguments(inputs, scratch);
    const DotGradients<E> to = destinations(inputs, outputs, scratch, all);
    apart_.round_keys(inputs, scratch.apart);
    for (int64_t first = 0; first < s_.batch; first += s_.chunk) run_chunk(inputs, outputs, first, scratch, all, to);
    for (size_t n = 0; n < s_.tiled.size(); ++n) {
      const size_t p = s_.tiled[n];
      const int64_t row = s_.heads * s_.widths[p];
      copy(to.queries[n], outputs[2 * p], s_.batch * s_.length * row);
      if (s_.by_places(p))
        shared_keys(p).sum_of_places(context_.stream, to.own_keys[n], to.documents, s_.batch,
                                     output<T>(outputs, 2 * p + 1));
      else if (!s_.options.shares_keys(p))
        copy(to.own_keys[n], outputs[2 * p + 1], s_.batch * s_.memory * row);
    }
    // Products apart are the library's to count.
    context_.count(&KernelCounters::product_flops, 2 * s_.multiplied_scores() * (3 * s_.inner + 2 * s_.head));
  }

 private:
  // Groups of a chunk of so many examples. (Where they are one, and the chunk too, sums need no place of their own.)
  static int64_t groups_of(int64_t examples) { return std::min(examples, kMostGroups); }
  static bool one_group(const DotSizes& s) { return s.chunks() == 1 && groups_of(s.chunk) == 1; }
  // Whether a kernel goes through documents. (Products sum those of common pairs.)
  static bool sums_by_places(const DotSizes& s, bool to_addend) {
    return s.options.positions &&
           (to_addend || std::any_of(s.tiled.begin(), s.tiled.end(), [&](size_t p) { return s.by_places(p); }));
  }

  // Arrays of pairs are of s.tiled.
  struct Scratch {
    Scratch(const DotSizes& s, bool to_addend, const ProductLibrary& products, Carver& carver)
        : apart(s, /*backward=*/true, products, carver) {
      const int64_t groups = groups_of(s.chunk);
      mean = carver.take<T>(s.batch * s.heads * s.length);
      for (size_t n = 0; n < s.tiled.size(); ++n) {
        const size_t p = s.tiled[n];
        const bool shared = s.options.shares_keys(p) && !s.by_places(p);
        queries[n] = carver.take<E>(s.batch * s.length * s.heads * s.widths[p]);
        if (!shared && !s.tensor_cores())
          own_keys[n] = carver.take<E>(s.batch * s.memory * s.heads * s.widths[p]);
        else if (shared && !one_group(s))
          shared_keys[n] = carver.take<T>(groups * s.heads * s.widths[p] * s.memory);
      }
      if (to_addend && s.addend_by_key) addend = carver.take<T>(groups * s.heads * s.memory);
      copied_keys = carver.take<E>(s.copied_keys_bytes() / static_cast<int64_t>(sizeof(E)));
      if (sums_by_places(s, to_addend)) documents = carver.take<std::byte>(documents_bytes(s.batch, s.length));
    }
    typename ScoresApart<E>::Space apart;
    T* mean;
    E *queries[kMostPairs] = {}, *own_keys[kMostPairs] = {};
    T *shared_keys[kMostPairs] = {}, *addend = nullptr;
    E* copied_keys;
    std::byte* documents = nullptr;
  };

  SharedKeys<E> shared_keys(size_t p) const {
    return {static_cast<int>(s_.heads), static_cast<int>(s_.widths[p]), static_cast<int>(s_.memory)};
  }

  DotArguments<E> arguments(std::span<void* const> inputs, const Scratch& scratch) const {
    DotArguments<E> g = with_placed_keys(context_.stream, dot_arguments<E>(s_, inputs), scratch.copied_keys);
    if constexpr (std::is_same_v<E, BFloat16>)
      if (s_.tensor_cores()) g = with_rounded_keys(context_.stream, g, scratch.copied_keys);
    g.log_sum = input<T>(inputs, op_.options().inputs());
    g.dy = input<E>(inputs, op_.options().inputs() + 1);
    g.mean = scratch.mean;
    g.apart = scratch.apart.scores;
    return g;
  }

  // Of all examples.
  DotGradients<E> destinations(std::span<void* const> inputs, std::span<void* const> outputs, const Scratch& scratch,
                               const DotArguments<E>& all) const {
    const DotAttentionOptions& o = op_.options();
    DotGradients<E> to = {};
    // What takes the place of an input is made elsewhere.
    const auto place = [&](size_t at, E* elsewhere) {
      return outputs[at] == inputs[at] ? elsewhere : output<E>(outputs, at);
    };
    for (size_t n = 0; n < s_.tiled.size(); ++n) {
      const size_t p = s_.tiled[n];
      to.queries[n] = place(2 * p, scratch.queries[n]);
      if (s_.by_places(p))  // with tensor cores in the place of the copies
        to.own_keys[n] = s_.tensor_cores() ? static_cast<E*>(const_cast<void*>(all.pair[n].keys)) : scratch.own_keys[n];
      else if (o.shares_keys(p))
        to.shared_keys[n] = one_group(s_) ? output<T>(outputs, 2 * p + 1) : scratch.shared_keys[n];
      else
        to.own_keys[n] = s_.tensor_cores() ? output<E>(outputs, 2 * p + 1) : place(2 * p + 1, scratch.own_keys[n]);
    }
    to.values = output<E>(outputs, o.values());
    T* const addend = op_.to_addend() ? output<T>(outputs, o.values() + 1) : nullptr;
    to.addend = op_.to_addend() && s_.addend_by_key && !one_group(s_) ? scratch.addend : addend;
    to.scores = scratch.apart.gradients;
    if (sums_by_places(s_, op_.to_addend()))
      to.documents =
          find_documents(context_.stream, all.segments, all.positions, s_.batch, s_.length, scratch.documents);
    return to;
  }

  void run_chunk(std::span<void* const> inputs, std::span<void* const> outputs, int64_t first, const Scratch& scratch,
                 const DotArguments<E>& all, DotGradients<E> to) const {
    const DotArguments<E> g = of_examples(all, first, std::min(s_.chunk, s_.batch - first));
    for (int n = 0; n < g.pairs; ++n) {
      to.queries[n] += first * s_.length * s_.heads * g.pair[n].width;
      if (to.own_keys[n] != nullptr) to.own_keys[n] += first * s_.memory * s_.heads * g.pair[n].width;
    }
    to.values += first * s_.memory * s_.heads * s_.head;
    to.groups = static_cast<int>(groups_of(g.batch));
    to.add_to_addend = first > 0;
    if (to.documents.list != nullptr) to.documents = to.documents.from(first);

    apart_.make_scores(inputs, first, scratch.apart);
    if (to.scores != nullptr) {
      const int64_t bytes = g.batch * s_.length * s_.heads * s_.memory * static_cast<int64_t>(sizeof(E));
      check(cudaMemsetAsync(to.scores, 0, static_cast<size_t>(bytes), context_.stream), "clearing scores' gradients");
    }
    attend(g, to);
    apart_.add_gradients(inputs, outputs, first, scratch.apart);
    const auto add_groups = [&](const T* of_group, int64_t count, T* sum) {
      if (of_group != nullptr && of_group != sum)
        launch(context_.stream, {"add_groups_kernel", blocks_for(count)}, add_groups_kernel<T>, of_group, to.groups,
               count, first > 0, sum);
    };
    for (int n = 0; n < g.pairs; ++n)
      add_groups(to.shared_keys[n], s_.heads * g.pair[n].width * s_.memory,
                 output<T>(outputs, 2 * s_.tiled[static_cast<size_t>(n)] + 1));
    if (to.addend != nullptr && s_.addend_by_key)
      add_groups(to.addend, s_.heads * s_.memory, output<T>(outputs, op_.options().values() + 1));
  }

  void attend(const DotArguments<E>& g, const DotGradients<E>& to) const {
    if constexpr (std::is_same_v<E, BFloat16>)
      if (s_.tensor_cores()) return dot_gradient_by_mma(context_.stream, g, static_cast<int>(s_.inner), to);
    DotGradientByTiles<E>::run(context_.stream, g, to);
  }

  void copy(const E* from, void* to, int64_t count) const {
    if (from != to)
      check(
          cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(E), cudaMemcpyDeviceToDevice, context_.stream),
          "copying a gradient");
  }

  CudaContext context_;
  DotAttentionGradient op_;
  DotSizes s_;
  ScoresApart<E> apart_;
};

}  // namespace

std::span<const KernelEntry> dot_attention_gradient_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(DotAttentionGradient), make_by_output<DotAttentionGradientKernel>,
                                          workspace_by_output<DotAttentionGradientKernel>}};
  return kEntries;
}

}  // namespace synthesizer::cuda
