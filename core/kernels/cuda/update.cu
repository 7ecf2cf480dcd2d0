// The optimizer's last step: writes the state of a run.
#include <type_traits>

#include "core/kernels/cuda/device_code.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/launch.h"
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

// With and without a copy it is the same code, so the same bits.
template <typename T>
__global__ void adamw_kernel(AdamWState<T> s, AdamWOptions options, int64_t n, bool in_place) {
  const bool apply = *s.apply != 0;
  if (!apply && in_place) return;
  auto* step = reinterpret_cast<AdamWStep<T>*>(shared_memory());
  if (threadIdx.x == 0) *step = make_step(s, options);  // powers of double are for one thread of a block
  __syncthreads();
  const AdamWStep<T> own = *step;
  constexpr int kPacked = kPack<T>;
  const int64_t packs = n / kPacked;
  for (int64_t p = thread_of_grid(); p < packs; p += threads_of_grid()) adamw_pack<T, kPacked>(s, own, apply, p);
  for (int64_t i = packs * kPacked + thread_of_grid(); i < n; i += threads_of_grid())
    adamw_pack<T, 1>(s, own, apply, i);
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
    AdamWState<T> s{};
    bool in_place = true;
    for (size_t i = 0; i < 3; ++i) {
      s.from[i] = input<T>(inputs, i);
      s.to[i] = output<T>(outputs, i);
      in_place = in_place && inputs[i] == outputs[i];
    }
    s.gradient = input<T>(inputs, 3);
    s.learning_rate = input<T>(inputs, 4);
    s.scale = input<T>(inputs, 5);
    s.step = input<int64_t>(inputs, 6);
    s.apply = input<T>(inputs, 7);
    if (rounds_) {
      s.copy_from = input<BFloat16>(inputs, 8);
      s.copy = output<BFloat16>(outputs, 3);
      in_place = in_place && inputs[8] == outputs[3];
    }
    launch(stream_, {"adamw_kernel", blocks_for(count_ / kPack<T>), kThreads, sizeof(AdamWStep<T>)}, adamw_kernel<T>, s,
           options_, count_, in_place);
  }

 private:
  cudaStream_t stream_;
  int64_t count_;
  AdamWOptions options_;
  bool rounds_;
};

template <typename From, typename To>
__global__ void assign_kernel(const To* target, const From* value, const From* apply, To* y, int64_t n) {
  constexpr int kPacked = kPack<From>;
  const int64_t packs = n / kPacked;
  if (*apply == 0) {
    if (y == target) return;
    for (int64_t i = thread_of_grid(); i < n; i += threads_of_grid()) y[i] = target[i];
    return;
  }
  for (int64_t p = thread_of_grid(); p < packs; p += threads_of_grid()) {
    const auto seen = reinterpret_cast<const Pack<From, kPacked>*>(value)[p];
    Pack<To, kPacked> made;
    for (int k = 0; k < kPacked; ++k) made.at[k] = rounded<To>(seen.at[k]);
    reinterpret_cast<Pack<To, kPacked>*>(y)[p] = made;
  }
  for (int64_t i = packs * kPacked + thread_of_grid(); i < n; i += threads_of_grid()) y[i] = rounded<To>(value[i]);
}

// `To`: that of `From`, or of less precision; rounded as the op cast rounds.
template <typename From, typename To>
class AssignKernel : public Kernel {
 public:
  explicit AssignKernel(const KernelCase& c) : stream_(c.context.stream), count_(c.out(0).elements()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    launch(stream_, {"assign_kernel", blocks_for(count_ / kPack<From>)}, assign_kernel<From, To>, input<To>(inputs, 0),
           input<From>(inputs, 1), input<From>(inputs, 2), output<To>(outputs, 0), count_);
  }

 private:
  cudaStream_t stream_;
  int64_t count_;
};
template <typename T>
using PlainAssign = AssignKernel<T, T>;
template <typename T>
using RoundedAssign = AssignKernel<T, BFloat16>;

std::unique_ptr<Kernel> make_assign(const KernelCase& c) {
  const DType value = c.inputs[1].dtype;
  return c.outputs[0].dtype == value ? make_floating<PlainAssign>(c, value) : make_floating<RoundedAssign>(c, value);
}

// Addresses as an argument of a kernel.
template <int kMost>
struct Addends {
  const void* at[kMost];
  int count;
};

// y may be one of the addends: a thread reads all before it writes.
template <typename T, int kMost>
__global__ void accumulate_kernel(const __grid_constant__ Addends<kMost> x, T* y, int64_t n) {
  constexpr int kPacked = kPack<T>;
  using Values = Pack<T, kPacked>;
  const int64_t packs = n / kPacked;
  for (int64_t p = thread_of_grid(); p < packs; p += threads_of_grid()) {
    Values sum = static_cast<const Values*>(x.at[0])[p];
    for (int i = 1; i < x.count; ++i) {
      const Values addend = static_cast<const Values*>(x.at[i])[p];
      for (int k = 0; k < kPacked; ++k) sum.at[k] += addend.at[k];
    }
    reinterpret_cast<Values*>(y)[p] = sum;
  }
  for (int64_t at = packs * kPacked + thread_of_grid(); at < n; at += threads_of_grid()) {
    T sum = static_cast<const T*>(x.at[0])[at];
    for (int i = 1; i < x.count; ++i) sum += static_cast<const T*>(x.at[i])[at];
    y[at] = sum;
  }
}

template <typename T>
class AccumulateKernel : public Kernel {
 public:
  explicit AccumulateKernel(const KernelCase& c)
      : stream_(c.context.stream), count_(c.out(0).elements()), first_(c.as<Accumulate>().stores() ? 1 : 0) {
    CHECK(c.inputs.size() <= kMost, "[accumulate] got {} inputs, expected at most {}", c.inputs.size(), kMost);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto addends = inputs.subspan(first_);
    addends.size() <= kFew ? give<kFew>(addends, outputs) : give<kMost>(addends, outputs);
  }

 private:
  static constexpr int kFew = 8, kMost = 480;  // of 4 KB of arguments

  template <int kSpace>
  void give(std::span<void* const> addends, std::span<void* const> outputs) const {
    Addends<kSpace> x{};
    for (const void* addend : addends) x.at[x.count++] = addend;
    launch(stream_, {"accumulate_kernel", blocks_for(count_ / kPack<T>)}, accumulate_kernel<T, kSpace>, x,
           output<T>(outputs, 0), count_);
  }

  cudaStream_t stream_;
  int64_t count_;
  size_t first_;
};

}  // namespace

std::span<const KernelEntry> update_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(AdamW), make_floating<AdamWKernel>, nullptr},
                                         {&typeid(Assign), make_assign, nullptr},
                                         {&typeid(Accumulate), make_floating<AccumulateKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer::cuda
