// Reductions over named dims, and copies along new dims. Sums are in double; how the elements are grouped depends on
// the shape alone, never on the number of threads.
#include "core/ops/reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/kernels/cpu/reduce_plan.h"
#include "core/kernels/geometry.h"
#include "core/tensor/bfloat16.h"

namespace synthesizer {
namespace {

ReducePlan plan_of(const KernelCase& c) { return ReducePlan(c.in(0), c.out(0), c.as<Reduce>().parts()); }

int64_t reduce_workspace(const KernelCase& c) {
  const ReducePlan plan = plan_of(c);
  const int64_t groups = plan.groups == 1 ? 0 : plan.outputs * plan.groups * 8;
  return groups + (plan.parts == 1 ? 0 : plan.outputs * plan.parts * size_of(c.outputs[0].dtype));
}

// Results are of type Out: T, or Compute<T>.
template <typename T, typename Out>
class ReduceKernel : public Kernel {
 public:
  explicit ReduceKernel(const KernelCase& c)
      : plan_(plan_of(c)),
        threads_(c.context.threads),
        loops_(c.context.loops.of<T>()),
        function_(c.as<Reduce>().function()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T* x = input<T>(inputs, 0);
    Out* y = output<Out>(outputs, 0);
    double* partial = static_cast<double*>(workspace);  // [groups, outputs]; not used by one group
    if (plan_.parts == 1) return reduce(x, partial, y);
    Out* parts = reinterpret_cast<Out*>(partial + (plan_.groups == 1 ? 0 : plan_.groups * plan_.outputs));
    for (int64_t p = 0; p < plan_.parts; ++p) reduce(x + p * plan_.part_offset, partial, parts + p * plan_.outputs);
    join_parts(parts, y);
  }

 private:
  void reduce(const T* x, double* partial, Out* y) const {
    const int64_t items = plan_.keep.count() * (plan_.columns ? plan_.runs : 1) * plan_.groups;
    const int64_t cost = plan_.pieces * std::min(plan_.length, ReducePlan::kRun) / plan_.groups;
    parallel_ranges(threads_, items, cost, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t group = item % plan_.groups, place = item / plan_.groups;
        if (plan_.columns) {
          reduce_columns(x, place, group, partial, y);
        } else {
          const double result = reduce_runs(x + plan_.keep.offset(place, 0), group);
          if (plan_.groups == 1)
            y[place] = rounded<Out>(result);
          else
            partial[group * plan_.outputs + place] = result;
        }
      }
    });
    if (plan_.groups > 1) combine(partial, y);
  }

  // Neighbours first, as they are stored, as ranks with a part each do it.
  void join_parts(Out* parts, Out* y) const {
    for (int64_t step = 1; step < plan_.parts; step *= 2)
      for (int64_t p = 0; p + step < plan_.parts; p += 2 * step) {
        Out* a = parts + p * plan_.outputs;
        const Out* b = parts + (p + step) * plan_.outputs;
        for (int64_t i = 0; i < plan_.outputs; ++i)
          a[i] =
              is_max() ? rounded<Out>(join(widened(a[i]), widened(b[i]))) : rounded<Out>(widened(a[i]) + widened(b[i]));
      }
    std::copy(parts, parts + plan_.outputs, y);
  }

  bool is_max() const { return function_ == ReduceFunction::kMax; }
  double start() const { return is_max() ? -std::numeric_limits<double>::infinity() : 0.0; }
  double join(double a, double b) const {
    if (!is_max()) return a + b;
    return b > a || std::isnan(b) ? b : a;
  }

  double reduce_runs(const T* x, int64_t group) const {
    double result = start();
    for (int64_t p = plan_.first_of(group); p < plan_.first_of(group + 1); ++p) {
      const int64_t from = p % plan_.runs * ReducePlan::kRun, n = std::min(ReducePlan::kRun, plan_.length - from);
      const T* run = x + plan_.over.offset(p / plan_.runs, 0) + from;
      const double part = is_max()                                   ? static_cast<double>(loops_.maximum(run, n))
                          : function_ == ReduceFunction::kSumSquares ? loops_.sum_squares(run, n)
                                                                     : loops_.sum(run, n);
      result = join(result, part);
    }
    return result;
  }

  void reduce_columns(const T* x, int64_t place, int64_t group, double* partial, Out* y) const {
    const int64_t row = place / plan_.runs, from = place % plan_.runs * ReducePlan::kColumns;
    const int64_t n = std::min(ReducePlan::kColumns, plan_.length - from);
    x += plan_.keep.offset(row, 0) + from;
    const int64_t out = row * plan_.length + from;
    double own[ReducePlan::kColumns];
    double* sums = plan_.groups == 1 ? own : partial + group * plan_.outputs + out;
    std::fill(sums, sums + n, start());
    const auto loop = is_max()                                   ? loops_.accumulate_maximum
                      : function_ == ReduceFunction::kSumSquares ? loops_.accumulate_squares
                                                                 : loops_.accumulate;
    for (int64_t p = plan_.first_of(group); p < plan_.first_of(group + 1); ++p)
      loop(x + plan_.over.offset(p, 0), sums, n);
    for (int64_t i = 0; plan_.groups == 1 && i < n; ++i) y[out + i] = rounded<Out>(sums[i]);
  }

  void combine(const double* partial, Out* y) const {
    parallel_ranges(threads_, plan_.outputs, plan_.groups, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        double result = partial[i];
        for (int64_t g = 1; g < plan_.groups; ++g) result = join(result, partial[g * plan_.outputs + i]);
        y[i] = rounded<Out>(result);
      }
    });
  }

  ReducePlan plan_;
  int threads_;
  Loops<T> loops_;
  ReduceFunction function_;
};

template <typename T>
class BroadcastKernel : public Kernel {
 public:
  explicit BroadcastKernel(const KernelCase& c) : threads_(c.context.threads) {
    const Shape* shapes[2] = {&c.in(0), &c.out(0)};
    rows_ = Walk(c.out(0).dims(), shapes);
    rows_.merge();
    length_ = rows_.take_last(stride_);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T* x = input<T>(inputs, 0);
    T* y = output<T>(outputs, 0);
    if (rows_.count() == 1)
      return parallel_ranges(threads_, length_, 1, [&](int64_t begin, int64_t end) { row(x, y, begin, end); });
    parallel_ranges(threads_, rows_.count(), length_, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) row(x + rows_.offset(i, 0), y + rows_.offset(i, 1), 0, length_);
    });
  }

 private:
  void row(const T* x, T* y, int64_t begin, int64_t end) const {
    if (stride_[0] == 1) {
      std::copy(x + begin, x + end, y + begin);
    } else {
      for (int64_t i = begin; i < end; ++i) y[i] = x[i * stride_[0]];
    }
  }

  int threads_;
  Walk rows_;
  int64_t length_;
  int64_t stride_[Walk::kTensors];
};

template <typename T>
using NarrowReduce = ReduceKernel<T, T>;
template <typename T>
using WideReduce = ReduceKernel<T, Compute<T>>;

std::unique_ptr<Kernel> make_reduce(const KernelCase& c) {
  return c.as<Reduce>().wide() ? make_by_input<WideReduce>(c) : make_by_input<NarrowReduce>(c);
}

}  // namespace

std::span<const KernelEntry> reduce_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Reduce), make_reduce, reduce_workspace},
                                         {&typeid(Broadcast), make_by_output<BroadcastKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer
