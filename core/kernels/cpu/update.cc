// The optimizer's last step: writes the state of a run.
#include "core/ops/update.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "core/kernels/cpu/cast_elements.h"
#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"

namespace synthesizer {
namespace {

double scalar(DType dtype, const void* data) {
  switch (dtype) {
    case DType::kFloat32:
      return *static_cast<const float*>(data);
    case DType::kFloat64:
      return *static_cast<const double*>(data);
    case DType::kInt32:
      return *static_cast<const int32_t*>(data);
    case DType::kInt64:
      return static_cast<double>(*static_cast<const int64_t*>(data));
    case DType::kBFloat16:
      break;
  }
  fail("a scalar of the update in {}", to_string(dtype));
}

template <typename T>
class AdamWKernel : public Kernel {
 public:
  explicit AdamWKernel(const KernelCase& c)
      : threads_(c.context.threads),
        count_(c.out(0).elements()),
        options_(c.as<AdamW>().options()),
        rounds_(c.as<AdamW>().rounds()),
        loops_(c.context.loops) {
    for (size_t i = 0; i < 4; ++i) scalars_[i] = c.inputs[4 + i].dtype;
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    T* state[3];
    for (size_t i = 0; i < 3; ++i) {
      state[i] = output<T>(outputs, i);
      if (state[i] != inputs[i]) std::memcpy(state[i], inputs[i], static_cast<size_t>(count_) * sizeof(T));
    }
    BFloat16* copy = rounds_ ? output<BFloat16>(outputs, 3) : nullptr;
    if (rounds_ && copy != inputs[8]) std::memcpy(copy, inputs[8], static_cast<size_t>(count_) * sizeof(BFloat16));
    if (scalar(scalars_[3], inputs[7]) == 0) return;
    const double steps = scalar(scalars_[2], inputs[6]) + 1;
    const AdamWStep step{options_.beta1,
                         options_.beta2,
                         options_.epsilon,
                         options_.weight_decay,
                         scalar(scalars_[0], inputs[4]),
                         scalar(scalars_[1], inputs[5]),
                         1 / (1 - std::pow(options_.beta1, steps)),
                         1 / (1 - std::pow(options_.beta2, steps))};
    const T* gradient = input<T>(inputs, 3);
    const auto& loop = loops_.of<T>().adamw;
    parallel_ranges(threads_, count_, 4, [&](int64_t begin, int64_t end) {
      // A piece at a time, so that it is rounded while it is in the cache.
      const int64_t piece = rounds_ ? kPiece : end - begin;
      for (int64_t at = begin; at < end; at += piece) {
        const int64_t n = std::min(piece, end - at);
        loop(step, state[0] + at, state[1] + at, state[2] + at, gradient + at, n);
        if (rounds_) cast_elements(loops_, state[0] + at, copy + at, n);
      }
    });
  }

 private:
  static constexpr int64_t kPiece = 1024;
  int threads_;
  int64_t count_;
  AdamWOptions options_;
  bool rounds_;
  DType scalars_[4];  // learning_rate, scale, step, apply
  LoopTables loops_;
};

class AssignKernel : public Kernel {
 public:
  explicit AssignKernel(const KernelCase& c)
      : threads_(c.context.threads), bytes_(c.outputs[0].bytes()), apply_(c.inputs[2].dtype) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const bool apply = scalar(apply_, inputs[2]) != 0;
    const std::byte* from = input<std::byte>(inputs, apply ? 1 : 0);
    std::byte* to = output<std::byte>(outputs, 0);
    if (from == to) return;
    parallel_ranges(threads_, bytes_, 1, [&](int64_t begin, int64_t end) {
      std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
    });
  }

 private:
  int threads_;
  int64_t bytes_;
  DType apply_;
};

// Into a target of less precision.
template <typename T>
class RoundedAssignKernel : public Kernel {
 public:
  explicit RoundedAssignKernel(const KernelCase& c)
      : threads_(c.context.threads), count_(c.out(0).elements()), loops_(c.context.loops) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    BFloat16* to = output<BFloat16>(outputs, 0);
    if (*input<T>(inputs, 2) == 0) {
      if (to != inputs[0]) std::memcpy(to, inputs[0], static_cast<size_t>(count_) * sizeof(BFloat16));
      return;
    }
    const T* from = input<T>(inputs, 1);
    parallel_ranges(threads_, count_, 1,
                    [&](int64_t begin, int64_t end) { cast_elements(loops_, from + begin, to + begin, end - begin); });
  }

 private:
  int threads_;
  int64_t count_;
  LoopTables loops_;
};

// Piece by piece, so that what is added up stays in the cache.
template <typename T>
class AccumulateKernel : public Kernel {
 public:
  explicit AccumulateKernel(const KernelCase& c)
      : threads_(c.context.threads),
        count_(c.out(0).elements()),
        first_(c.as<Accumulate>().stores() ? 1 : 0),
        add_(c.context.loops.of<T>().binary[0]) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    T* y = output<T>(outputs, 0);
    parallel_ranges(threads_, count_, static_cast<int64_t>(inputs.size()), [&](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end; at += kPiece) piece(inputs, y, at, std::min(kPiece, end - at));
    });
  }

 private:
  void piece(std::span<void* const> inputs, T* y, int64_t at, int64_t n) const {
    T sum[kPiece];  // y may be one of the addends
    const T* x = input<T>(inputs, first_) + at;
    for (size_t i = first_ + 1; i < inputs.size(); ++i) {
      T* to = i + 1 == inputs.size() ? y + at : sum;
      add_(x, 1, input<T>(inputs, i) + at, 1, to, n);
      x = to;
    }
    if (x != y + at) std::copy(x, x + n, y + at);
  }

  static constexpr int64_t kPiece = 1024;
  int threads_;
  int64_t count_;
  size_t first_;
  std::remove_all_extents_t<decltype(Loops<T>::binary)> add_;
};

std::unique_ptr<Kernel> make_assign(const KernelCase& c) {
  const DType value = c.inputs[1].dtype;
  if (c.outputs[0].dtype == value) return std::make_unique<AssignKernel>(c);
  return make_floating<RoundedAssignKernel>(c, value);
}

}  // namespace

std::span<const KernelEntry> update_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(AdamW), make_floating<AdamWKernel>, nullptr},
                                         {&typeid(Assign), make_assign, nullptr},
                                         {&typeid(Accumulate), make_floating<AccumulateKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer
