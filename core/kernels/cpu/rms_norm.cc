// Root-mean-square normalisation, row by row. The gradient of the scale is summed over fixed groups of rows.
#include "core/ops/rms_norm.h"

#include <algorithm>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"

namespace synthesizer {
namespace {

void check_last(const KernelCase& c, const std::string& dim) {
  CHECK(!c.in(0).dims().empty() && c.in(0).dims().back().name == dim, "[{}] {}: expected {} last", c.op.name(),
        c.in(0).to_string(), dim);
}

template <typename T>
class RmsNormKernel : public Kernel {
 public:
  explicit RmsNormKernel(const KernelCase& c)
      : threads_(c.context.threads),
        length_(c.in(1).elements()),
        rows_(c.in(0).elements() / length_),
        epsilon_(c.as<RmsNorm>().epsilon()),
        residual_(c.as<RmsNorm>().residual()),
        loops_(c.context.loops.of<T>()) {
    check_last(c, c.as<RmsNorm>().dim());
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T* x = input<T>(inputs, 0);
    const Compute<T>* scale = input<Compute<T>>(inputs, 1);
    T* y = output<T>(outputs, 0);
    Compute<T>* r = output<Compute<T>>(outputs, 1);
    parallel_ranges(threads_, rows_, length_, [&](int64_t begin, int64_t end) {
      for (int64_t at = begin * length_; begin < end; ++begin, at += length_) {
        const T* row = x + at;
        if (residual_) row = sum_of(row, input<T>(inputs, 2) + at, output<T>(outputs, 2) + at);
        r[begin] = loops_.rms_norm(row, scale, y + at, length_, epsilon_);
      }
    });
  }

 private:
  // A row of the sum, which stays in the cache.
  const T* sum_of(const T* a, const T* b, T* sum) const {
    loops_.binary[static_cast<int>(BinaryFunction::kAdd)](a, 1, b, 1, sum, length_);
    return sum;
  }

  int threads_;
  int64_t length_, rows_;
  double epsilon_;
  bool residual_;
  Loops<T> loops_;
};

constexpr int64_t kGroups = 32;  // of rows, each with its own sums for dscale

// Sums in double; with a base also a row of dx for each group, since it may lie where the base does.
int64_t gradient_workspace(const KernelCase& c) {
  const int64_t sums = kGroups * c.in(1).elements() * 8;
  return c.as<RmsNormGradient>().has_base() ? sums + kGroups * c.inputs[1].bytes() : sums;
}

template <typename T>
class RmsNormGradientKernel : public Kernel {
 public:
  explicit RmsNormGradientKernel(const KernelCase& c)
      : threads_(c.context.threads),
        length_(c.in(1).elements()),
        rows_(c.in(0).elements() / length_),
        base_(c.as<RmsNormGradient>().has_base()),
        loops_(c.context.loops.of<T>()) {
    check_last(c, c.as<RmsNormGradient>().dim());
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T* x = input<T>(inputs, 0);
    const Compute<T>* scale = input<Compute<T>>(inputs, 1);
    const Compute<T>* r = input<Compute<T>>(inputs, 2);
    const T* dy = input<T>(inputs, 3);
    T* dx = output<T>(outputs, 0);
    Compute<T>* dscale = output<Compute<T>>(outputs, 1);
    double* sums = static_cast<double*>(workspace);  // [group, dim]
    parallel_ranges(threads_, kGroups, rows_ * length_ / kGroups, [&](int64_t begin, int64_t end) {
      for (int64_t group = begin; group < end; ++group) {
        double* of_group = sums + group * length_;
        std::fill(of_group, of_group + length_, 0.0);
        T* own = reinterpret_cast<T*>(sums + kGroups * length_) + group * length_;
        for (int64_t i = rows_ * group / kGroups; i < rows_ * (group + 1) / kGroups; ++i) {
          const int64_t at = i * length_;
          T* row = base_ ? own : dx + at;
          loops_.rms_norm_gradient(x + at, scale, r[i], dy + at, row, of_group, length_);
          if (base_)
            loops_.binary[static_cast<int>(BinaryFunction::kAdd)](input<T>(inputs, 4) + at, 1, row, 1, dx + at,
                                                                  length_);
        }
      }
    });
    for (int64_t i = 0; i < length_; ++i) {
      double sum = 0;
      for (int64_t group = 0; group < kGroups; ++group) sum += sums[group * length_ + i];
      dscale[i] = static_cast<Compute<T>>(sum);
    }
  }

 private:
  int threads_;
  int64_t length_, rows_;
  bool base_;
  Loops<T> loops_;
};

}  // namespace

std::span<const KernelEntry> rms_norm_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(RmsNorm), make_by_output<RmsNormKernel>, nullptr},
      {&typeid(RmsNormGradient), make_by_output<RmsNormGradientKernel>, gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer
