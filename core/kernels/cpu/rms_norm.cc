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
        rms_norm_(c.context.loops.of<T>().rms_norm) {
    check_last(c, c.as<RmsNorm>().dim());
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T* x = input<T>(inputs, 0);
    const Compute<T>* scale = input<Compute<T>>(inputs, 1);
    T* y = output<T>(outputs, 0);
    Compute<T>* r = output<Compute<T>>(outputs, 1);
    parallel_ranges(threads_, rows_, length_, [&](int64_t begin, int64_t end) {
      for (int64_t at = begin * length_; begin < end; ++begin, at += length_) {
        r[begin] = rms_norm_(x + at, residual_ ? input<T>(inputs, 2) + at : nullptr,
                             residual_ ? output<T>(outputs, 2) + at : nullptr, scale, y + at, length_, epsilon_);
      }
    });
  }

 private:
  int threads_;
  int64_t length_, rows_;
  double epsilon_;
  bool residual_;
  decltype(Loops<T>::rms_norm) rms_norm_;
};

constexpr int64_t kGroups = 32;  // of rows, each with its own sums for dscale

int64_t gradient_workspace(const KernelCase& c) { return kGroups * c.in(1).elements() * 8; }

template <typename T>
class RmsNormGradientKernel : public Kernel {
 public:
  explicit RmsNormGradientKernel(const KernelCase& c)
      : threads_(c.context.threads),
        length_(c.in(1).elements()),
        rows_(c.in(0).elements() / length_),
        base_(c.as<RmsNormGradient>().has_base()),
        rms_norm_gradient_(c.context.loops.of<T>().rms_norm_gradient) {
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
        const int64_t row = rows_ * group / kGroups, rows = rows_ * (group + 1) / kGroups - row, at = row * length_;
        rms_norm_gradient_(x + at, scale, r + row, dy + at, base_ ? input<T>(inputs, 4) + at : nullptr, dx + at,
                           of_group, rows, length_);
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
  decltype(Loops<T>::rms_norm_gradient) rms_norm_gradient_;
};

}  // namespace

std::span<const KernelEntry> rms_norm_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(RmsNorm), make_by_output<RmsNormKernel>, nullptr},
      {&typeid(RmsNormGradient), make_by_output<RmsNormGradientKernel>, gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer
