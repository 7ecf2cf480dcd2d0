// AdamW, of a tensor or of many at once.
#include <vector>

#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/kernels/cuda/runtime/launch_table.h"
#include "core/kernels/cuda/update/horizontal_kernels.h"
#include "core/kernels/horizontal_parts.h"
#include "core/ops/update.h"

namespace synthesizer::cuda {
namespace {

// What the update of a tensor reads and writes: `from` is `to` where it is in place. copy: of the new parameter, or
// null.
template <typename T>
struct AdamWState {
  const T *from[3], *gradient;  // parameter, first, second
  T* to[3];
  const BFloat16* copy_from;
  BFloat16* copy;
  const T *learning_rate, *scale, *apply;  // scalars
  const int64_t* step;
};

// Constants of a step, as the elements are.
template <typename T>
struct AdamWStep {
  T beta1, beta2, keep1, keep2, scale, rate, correction1, correction2, epsilon, decay;
};

template <typename T>
__device__ AdamWStep<T> make_step(const AdamWState<T>& s, const AdamWOptions& o) {
  const double steps = static_cast<double>(*s.step) + 1;
  return {static_cast<T>(o.beta1),
          static_cast<T>(o.beta2),
          static_cast<T>(1 - o.beta1),
          static_cast<T>(1 - o.beta2),
          *s.scale,
          *s.learning_rate,
          static_cast<T>(1 / (1 - pow(o.beta1, steps))),
          static_cast<T>(1 / (1 - pow(o.beta2, steps))),
          static_cast<T>(o.epsilon),
          static_cast<T>(o.weight_decay)};
}

template <typename T, int kPacked>
__device__ void adamw_pack(const AdamWState<T>& s, const AdamWStep<T>& step, bool apply, int64_t p) {
  using Values = Pack<T, kPacked>;
  using Rounded = Pack<BFloat16, kPacked>;
  Values state[3];
  for (int i = 0; i < 3; ++i) state[i] = reinterpret_cast<const Values*>(s.from[i])[p];
  if (apply) {
    const Values gradient = reinterpret_cast<const Values*>(s.gradient)[p];
    for (int k = 0; k < kPacked; ++k) {
      const T g = step.scale * gradient.at[k], parameter = state[0].at[k];
      const T m = step.beta1 * state[1].at[k] + step.keep1 * g;
      const T v = step.beta2 * state[2].at[k] + step.keep2 * g * g;
      state[1].at[k] = m;
      state[2].at[k] = v;
      state[0].at[k] =
          parameter - step.rate * (m * step.correction1 / (Math::sqrt(v * step.correction2) + step.epsilon) +
                                   step.decay * parameter);
    }
  }
  for (int i = 0; i < 3; ++i) reinterpret_cast<Values*>(s.to[i])[p] = state[i];
  if (s.copy == nullptr) return;
  Rounded copy;
  if (apply)
    for (int k = 0; k < kPacked; ++k) copy.at[k] = rounded<BFloat16>(state[0].at[k]);
  else
    copy = reinterpret_cast<const Rounded*>(s.copy_from)[p];
  reinterpret_cast<Rounded*>(s.copy)[p] = copy;
}

// With and without a copy it is the same code, so the same bits. All threads of the block call it.
template <typename T>
__device__ void adamw(const GridSlice& grid, const AdamWState<T>& s, const AdamWOptions& options, int64_t n,
                      bool in_place) {
  const bool apply = *s.apply != 0;
  if (!apply && in_place) return;
  auto* step = reinterpret_cast<AdamWStep<T>*>(shared_memory());
  if (threadIdx.x == 0) *step = make_step(s, options);  // powers of double are for one thread of a block
  __syncthreads();
  const AdamWStep<T> own = *step;
  constexpr int kPacked = kPack<T>;
  const int64_t packs = n / kPacked;
  for (int64_t p = grid.thread(); p < packs; p += grid.threads()) adamw_pack<T, kPacked>(s, own, apply, p);
  for (int64_t i = packs * kPacked + grid.thread(); i < n; i += grid.threads()) adamw_pack<T, 1>(s, own, apply, i);
}

template <typename T>
__global__ void adamw_kernel(AdamWState<T> s, AdamWOptions options, int64_t n, bool in_place) {
  adamw(whole_grid(), s, options, n, in_place);
}

// A tensor of several.
template <typename T>
struct AdamWEntry {
  AdamWState<T> state;
  int64_t count;
  bool in_place;
};

template <typename T>
__global__ void adamws_kernel(const AdamWEntry<T>* entries, const BlockPlace* places, AdamWOptions options) {
  const BlockPlace place = places[blockIdx.x];
  const AdamWEntry<T> entry = entries[place.entry];
  adamw(place.slice(), entry.state, options, entry.count, entry.in_place);
}

template <typename T>
AdamWEntry<T> make_entry(std::span<void* const> inputs, std::span<void* const> outputs, int64_t count, bool rounds) {
  AdamWEntry<T> entry{{}, count, true};
  AdamWState<T>& s = entry.state;
  for (size_t i = 0; i < 3; ++i) {
    s.from[i] = input<T>(inputs, i);
    s.to[i] = output<T>(outputs, i);
    entry.in_place = entry.in_place && inputs[i] == outputs[i];
  }
  s.gradient = input<T>(inputs, 3);
  s.learning_rate = input<T>(inputs, 4);
  s.scale = input<T>(inputs, 5);
  s.step = input<int64_t>(inputs, 6);
  s.apply = input<T>(inputs, 7);
  if (rounds) {
    s.copy_from = input<BFloat16>(inputs, 8);
    s.copy = output<BFloat16>(outputs, 3);
    entry.in_place = entry.in_place && inputs[8] == outputs[3];
  }
  return entry;
}

template <typename T>
class AdamWKernel : public Kernel {
 public:
  explicit AdamWKernel(const KernelCase& c)
      : stream_(c.context.stream),
        count_(c.out(0).elements()),
        options_(c.as<AdamW>().options()),
        rounds_(c.as<AdamW>().rounds()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const AdamWEntry<T> entry = make_entry<T>(inputs, outputs, count_, rounds_);
    launch(stream_, {"adamw_kernel", blocks_for(count_ / kPack<T>), kThreads, sizeof(AdamWStep<T>)}, adamw_kernel<T>,
           entry.state, options_, count_, entry.in_place);
  }

 private:
  cudaStream_t stream_;
  int64_t count_;
  AdamWOptions options_;
  bool rounds_;
};

// In the workspace lies the table.
template <typename T>
struct AdamWsLayout {
  explicit AdamWsLayout(const KernelCase& c) : places(part_places(c.as<HorizontalFusion>())) {
    std::vector<int64_t> wanted;
    for (const PartPlace& place : places) {
      counts.push_back(place.of(c).out(0).elements());
      wanted.push_back((counts.back() / kPack<T> + kThreads) / kThreads);
    }
    section = table.section<AdamWEntry<T>>(wanted);
  }

  std::vector<PartPlace> places;
  std::vector<int64_t> counts;  // elements of each
  TableLayout table;
  LaunchSection<AdamWEntry<T>> section;
};

template <typename T>
class AdamWsKernel : public Kernel {
 public:
  explicit AdamWsKernel(const KernelCase& c)
      : stream_(c.context.stream), layout_(c), table_(*c.context.device, layout_.table.bytes()) {
    const auto& first = static_cast<const AdamW&>(*layout_.places[0].op);
    options_ = first.options();
    rounds_ = first.rounds();
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    if (table_.begin(stream_, inputs, outputs, workspace)) fill(inputs, outputs);
    table_.send(stream_, workspace);
    launch(stream_, {"adamws_kernel", layout_.section.grid(), kThreads, sizeof(AdamWStep<T>)}, adamws_kernel<T>,
           layout_.section.entries(workspace), layout_.section.blocks(workspace), options_);
  }

 private:
  void fill(std::span<void* const> inputs, std::span<void* const> outputs) {
    std::vector<AdamWEntry<T>> entries;
    for (size_t i = 0; i < layout_.places.size(); ++i) {
      const PartPlace& place = layout_.places[i];
      entries.push_back(make_entry<T>(place.of_inputs(inputs), place.of_outputs(outputs), layout_.counts[i], rounds_));
    }
    table_.put(layout_.section, entries);
  }

  cudaStream_t stream_;
  AdamWsLayout<T> layout_;
  LaunchTable table_;
  AdamWOptions options_;
  bool rounds_;
};

}  // namespace

std::unique_ptr<Kernel> make_adamws(const KernelCase& c) { return make_floating<AdamWsKernel>(c); }

int64_t adamws_workspace(const KernelCase& c) {
  const bool wide = c.outputs[0].dtype == DType::kFloat64;
  return wide ? AdamWsLayout<double>(c).table.bytes() : AdamWsLayout<float>(c).table.bytes();
}

std::span<const KernelEntry> adamw_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(AdamW), make_floating<AdamWKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer::cuda
