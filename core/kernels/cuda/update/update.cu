// What is written over the state of a run, and sums over the passes of a step.
#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/update.h"

namespace synthesizer::cuda {
namespace {

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
  static const KernelEntry kEntries[] = {{&typeid(Assign), make_assign, nullptr},
                                         {&typeid(Accumulate), make_floating<AccumulateKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer::cuda
