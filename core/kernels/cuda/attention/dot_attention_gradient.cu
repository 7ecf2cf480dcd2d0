// The gradient of attention: what is made where, copied to where an input was, and added up over groups of examples.
#include "core/kernels/cuda/attention/dot_forward.h"
#include "core/kernels/cuda/attention/dot_gradient.h"
#include "core/kernels/cuda/launch.h"

namespace synthesizer::cuda {
namespace {

// sum[i] = Σ of the groups, in order.
template <typename T>
__global__ void add_groups_kernel(const T* of_group, int groups, int64_t count, T* sum) {
  for (int64_t i = thread_of_grid(); i < count; i += threads_of_grid()) {
    T total = 0;
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
        groups_(std::min<int64_t>(s_.batch, kMostGroups)) {}

  static int64_t workspace(const KernelCase& c) {
    const auto& op = c.as<DotAttentionGradient>();
    const DotSizes s(c, op.options());
    return Scratch(s, op, std::min<int64_t>(s.batch, kMostGroups), nullptr).bytes;
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const DotAttentionOptions& o = op_.options();
    const Scratch scratch(s_, op_, groups_, workspace);
    DotArguments<E> g = dot_arguments<E>(s_, inputs);
    g.log_sum = input<T>(inputs, o.inputs());
    g.dy = input<E>(inputs, o.inputs() + 1);
    g.mean = scratch.mean;
    DotGradients<E> to = {};
    to.groups = static_cast<int>(groups_);
    // What takes the place of an input is made elsewhere.
    const auto place = [&](size_t at, E* elsewhere) {
      return outputs[at] == inputs[at] ? elsewhere : output<E>(outputs, at);
    };
    for (size_t p = 0; p < o.pairs(); ++p) {
      to.queries[p] = place(2 * p, scratch.queries[p]);
      if (o.shares_keys(p))
        to.shared_keys[p] = groups_ == 1 ? output<T>(outputs, 2 * p + 1) : scratch.shared_keys[p];
      else
        to.own_keys[p] = s_.tensor_cores() ? output<E>(outputs, 2 * p + 1) : place(2 * p + 1, scratch.own_keys[p]);
    }
    to.values = output<E>(outputs, o.values());
    T* const addend = op_.to_addend() ? output<T>(outputs, o.values() + 1) : nullptr;
    const bool addend_groups = op_.to_addend() && s_.addend_by_key && groups_ > 1;
    to.addend = addend_groups ? scratch.addend : addend;

    if (s_.tensor_cores())
      by_tensor_cores(g, to, scratch.rounded_keys);
    else
      DotGradientByTiles<E>::run(context_.stream, g, to);

    for (size_t p = 0; p < o.pairs(); ++p) {
      copy(to.queries[p], outputs[2 * p], s_.batch * s_.length * s_.heads * s_.widths[p]);
      if (o.shares_keys(p))
        add_groups(to.shared_keys[p], s_.heads * s_.widths[p] * s_.memory, output<T>(outputs, 2 * p + 1));
      else
        copy(to.own_keys[p], outputs[2 * p + 1], s_.batch * s_.memory * s_.heads * s_.widths[p]);
    }
    if (addend_groups) add_groups(to.addend, s_.heads * s_.memory, addend);
    context_.count(&KernelCounters::product_flops, 2 * s_.multiplied_scores() * (3 * s_.inner + 2 * s_.head));
  }

 private:
  struct Scratch {
    Scratch(const DotSizes& s, const DotAttentionGradient& op, int64_t groups, void* memory) {
      Carver carver(memory);
      mean = carver.take<T>(s.batch * s.heads * s.length);
      for (size_t p = 0; p < s.widths.size(); ++p) {
        queries[p] = carver.take<E>(s.batch * s.length * s.heads * s.widths[p]);
        if (!op.options().shares_keys(p) && !s.tensor_cores())
          own_keys[p] = carver.take<E>(s.batch * s.memory * s.heads * s.widths[p]);
        else if (op.options().shares_keys(p) && groups > 1)
          shared_keys[p] = carver.take<T>(groups * s.heads * s.widths[p] * s.memory);
      }
      if (op.to_addend() && s.addend_by_key) addend = carver.take<T>(groups * s.heads * s.memory);
      if (s.tensor_cores()) rounded_keys = carver.take<std::byte>(s.rounded_keys_bytes());
      bytes = carver.used();
    }
    T* mean;
    E *queries[kMostPairs] = {}, *own_keys[kMostPairs] = {};
    T *shared_keys[kMostPairs] = {}, *addend = nullptr;
    std::byte* rounded_keys = nullptr;
    int64_t bytes;
  };

  void by_tensor_cores(const DotArguments<E>& g, const DotGradients<E>& to, std::byte* rounded_keys) const {
    if constexpr (std::is_same_v<E, BFloat16>)
      dot_gradient_by_mma(context_.stream,
                          with_rounded_keys(context_.stream, g, reinterpret_cast<BFloat16*>(rounded_keys)),
                          static_cast<int>(s_.inner), to);
  }
  void copy(const E* from, void* to, int64_t count) const {
    if (from != to)
      check(
          cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(E), cudaMemcpyDeviceToDevice, context_.stream),
          "copying a gradient");
  }
  void add_groups(const T* of_group, int64_t count, T* sum) const {
    if (of_group != sum)
      launch(context_.stream, {"add_groups_kernel", blocks_for(count)}, add_groups_kernel<T>, of_group,
             static_cast<int>(groups_), count, sum);
  }

  CudaContext context_;
  DotAttentionGradient op_;
  DotSizes s_;
  int64_t groups_;
};

}  // namespace

std::span<const KernelEntry> dot_attention_gradient_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(DotAttentionGradient), make_by_output<DotAttentionGradientKernel>,
                                          workspace_by_output<DotAttentionGradientKernel>}};
  return kEntries;
}

}  // namespace synthesizer::cuda
