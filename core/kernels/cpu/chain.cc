// Chains: pieces of the index space, each through all steps, in the order that the chain's sums ask for.
#include "core/ops/chain.h"

#include "core/kernels/cpu/chain_steps.h"
#include "core/kernels/cpu/parallel.h"
#include "core/kernels/cpu/reduce_plan.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

constexpr int64_t kPiece = 4096;  // elements, where nothing is reduced

constexpr int64_t kAhead = 4096;    // elements that memory is ahead of the steps
constexpr int64_t kCached = 65536;  // tensors of fewer are in a cache anyway

// A step that is a sum.
struct ChainSum {
  int step, output;
  bool squares;
  ReducePlan plan;
  int64_t partial = 0;  // where its sums by group begin in the workspace, in doubles; -1: it has one group
};

struct ChainPlan {
  explicit ChainPlan(const KernelCase& c) {
    const Chain& chain = c.as<Chain>();
    count = chain.over().elements();
    for (size_t s = 0; s < chain.steps().size(); ++s) {
      const auto* reduce = dynamic_cast<const Reduce*>(chain.steps()[s].op.get());
      if (reduce == nullptr) continue;
      const int value = chain.inputs() + static_cast<int>(s);
      const auto at = std::find(chain.results().begin(), chain.results().end(), value) - chain.results().begin();
      sums.push_back({static_cast<int>(s), static_cast<int>(at), reduce->function() == ReduceFunction::kSumSquares,
                      ReducePlan(chain.over(), c.out(static_cast<size_t>(at)), {})});
    }
    longest = std::min(count, kPiece);
    if (!sums.empty()) longest = 1;
    for (ChainSum& sum : sums) {
      const bool alone = sum.plan.groups == 1 && chain.order() == ChainOrder::kReduction;
      sum.partial = alone ? -1 : doubles;
      if (!alone) doubles += sum.plan.groups * sum.plan.outputs;
      const bool columns = sum.plan.columns && chain.order() == ChainOrder::kReduction;
      longest = std::max(longest, std::min(sum.plan.length, columns ? ReducePlan::kColumns : ReducePlan::kRun));
    }
  }

  int64_t count, longest;
  int64_t doubles = 0;
  std::vector<ChainSum> sums;
};

// A thread's own: registers, then columns of the sums.
template <typename T>
int64_t thread_bytes(const ChainPlan& plan, const ChainSteps<T>& steps) {
  return align_up(steps.register_elements() * static_cast<int64_t>(sizeof(T))) +
         static_cast<int64_t>(plan.sums.size()) * ReducePlan::kColumns * 8;
}

template <typename T>
int64_t workspace_of(const KernelCase& c) {
  const ChainPlan plan(c);
  return align_up(plan.doubles * 8) + c.context.threads * thread_bytes(plan, ChainSteps<T>(c, plan.longest));
}

int64_t chain_workspace(const KernelCase& c) {
  const DType dtype = c.as<Chain>().dtype(c.inputs);
  if (dtype == DType::kBFloat16) return workspace_of<BFloat16>(c);
  return dtype == DType::kFloat64 ? workspace_of<double>(c) : workspace_of<float>(c);
}

// Where nothing is reduced.
template <typename T>
class ElementChainKernel : public Kernel {
 public:
  explicit ElementChainKernel(const KernelCase& c)
      : plan_(c),
        steps_(c, plan_.longest),
        threads_(c.context.threads),
        work_(static_cast<int64_t>(c.as<Chain>().steps().size())) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const int64_t pieces = (plan_.count + kPiece - 1) / kPiece;
    const int64_t ahead = plan_.count < kCached ? 0 : kAhead;
    parallel_ranges(threads_, pieces, plan_.longest * work_, [&](int64_t begin, int64_t end) {
      auto* const registers =
          reinterpret_cast<T*>(static_cast<std::byte*>(workspace) + omp_get_thread_num() * thread_bytes(plan_, steps_));
      for (int64_t p = begin; p < end; ++p)
        steps_.run(inputs, outputs, registers, p * kPiece, std::min(kPiece, plan_.count - p * kPiece), ahead,
                   [](int, const T*) {});
    });
  }

 private:
  ChainPlan plan_;
  ChainSteps<T> steps_;
  int threads_;
  int64_t work_;  // steps
};

template <typename T>
class SumChainKernel : public Kernel {
 public:
  explicit SumChainKernel(const KernelCase& c)
      : plan_(c),
        steps_(c, plan_.longest),
        order_(c.as<Chain>().order()),
        threads_(c.context.threads),
        work_(static_cast<int64_t>(c.as<Chain>().steps().size())),
        loops_(c.context.loops.of<T>()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const Run run{inputs, outputs, static_cast<double*>(workspace),
                  static_cast<std::byte*>(workspace) + align_up(plan_.doubles * 8)};
    if (order_ == ChainOrder::kReduction)
      reduction(run);
    else
      rows_and_columns(run);
    for (const ChainSum& sum : plan_.sums)
      if (sum.partial >= 0) combine(run, sum);
  }

 private:
  struct Run {
    std::span<void*const> inputs, outputs;
    double* partial;
    std::byte* buffers;
  };

  T* registers(const Run& run) const {
    return reinterpret_cast<T*>(run.buffers + omp_get_thread_num() * thread_bytes(plan_, steps_));
  }
  double* columns(const Run& run, size_t sum) const {
    std::byte* own = run.buffers + omp_get_thread_num() * thread_bytes(plan_, steps_);
    return reinterpret_cast<double*>(own + align_up(steps_.register_elements() * static_cast<int64_t>(sizeof(T)))) +
           static_cast<int64_t>(sum) * ReducePlan::kColumns;
  }
  T* result(const Run& run, const ChainSum& sum) const {
    return output<T>(run.outputs, static_cast<size_t>(sum.output));
  }
  double sum_of(const ChainSum& sum, const T* x, int64_t n) const {
    return sum.squares ? loops_.sum_squares(x, n) : loops_.sum(x, n);
  }
  void add_columns(const ChainSum& sum, const T* x, double* to, int64_t n) const {
    (sum.squares ? loops_.accumulate_squares : loops_.accumulate)(x, to, n);
  }
  int64_t ahead(int64_t elements) const { return plan_.count < kCached ? 0 : elements; }
  // Of a step: the sum's index.
  size_t index_of(int step) const {
    size_t i = 0;
    while (plan_.sums[i].step != step) ++i;
    return i;
  }

  // As core/kernels/cpu/reduce.cc goes.
  void reduction(const Run& run) const {
    const ReducePlan& plan = plan_.sums[0].plan;
    const int64_t items = plan.keep.count() * (plan.columns ? plan.runs : 1) * plan.groups;
    const int64_t cost = plan.pieces * plan_.longest / plan.groups * work_;
    parallel_ranges(threads_, items, cost, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item)
        plan.columns ? reduce_columns(run, plan, item / plan.groups, item % plan.groups)
                     : reduce_runs(run, plan, item / plan.groups, item % plan.groups);
    });
  }

  void reduce_runs(const Run& run, const ReducePlan& plan, int64_t place, int64_t group) const {
    double* totals = columns(run, 0);
    std::fill_n(totals, plan_.sums.size(), 0.0);
    for (int64_t p = plan.first_of(group); p < plan.first_of(group + 1); ++p) {
      const int64_t from = p % plan.runs * ReducePlan::kRun, n = std::min(ReducePlan::kRun, plan.length - from);
      const int64_t at = plan.keep.offset(place, 0) + plan.over.offset(p / plan.runs, 0) + from;
      steps_.run(run.inputs, run.outputs, registers(run), at, n, ahead(kAhead), [&](int step, const T* x) {
        const size_t i = index_of(step);
        totals[i] += sum_of(plan_.sums[i], x, n);
      });
    }
    for (size_t i = 0; i < plan_.sums.size(); ++i) {
      const ChainSum& sum = plan_.sums[i];
      if (sum.partial < 0)
        result(run, sum)[place] = static_cast<T>(totals[i]);
      else
        run.partial[sum.partial + group * plan.outputs + place] = totals[i];
    }
  }

  void reduce_columns(const Run& run, const ReducePlan& plan, int64_t place, int64_t group) const {
    const int64_t row = place / plan.runs, from = place % plan.runs * ReducePlan::kColumns;
    const int64_t n = std::min(ReducePlan::kColumns, plan.length - from), out = row * plan.length + from;
    const auto sums_of = [&](size_t i) {
      const ChainSum& sum = plan_.sums[i];
      return sum.partial < 0 ? columns(run, i) : run.partial + sum.partial + group * plan.outputs + out;
    };
    for (size_t i = 0; i < plan_.sums.size(); ++i) std::fill_n(sums_of(i), n, 0.0);
    for (int64_t p = plan.first_of(group); p < plan.first_of(group + 1); ++p) {
      const int64_t at = plan.keep.offset(row, 0) + from + plan.over.offset(p, 0);
      const int64_t next = p + 1 < plan.pieces ? plan.over.offset(p + 1, 0) - plan.over.offset(p, 0) : 0;
      steps_.run(run.inputs, run.outputs, registers(run), at, n, ahead(next), [&](int step, const T* x) {
        const size_t i = index_of(step);
        add_columns(plan_.sums[i], x, sums_of(i), n);
      });
    }
    for (size_t i = 0; i < plan_.sums.size(); ++i)
      for (int64_t e = 0; plan_.sums[i].partial < 0 && e < n; ++e)
        result(run, plan_.sums[i])[out + e] = static_cast<T>(columns(run, i)[e]);
  }

  // The rows of each group of the sums over columns; each row whole, in the groups and runs of the sums over rows.
  void rows_and_columns(const Run& run) const {
    const auto is_rows = [](const ChainSum& sum) { return !sum.plan.columns; };
    const ReducePlan& rows = std::find_if(plan_.sums.begin(), plan_.sums.end(), is_rows)->plan;
    const ReducePlan& down = std::find_if_not(plan_.sums.begin(), plan_.sums.end(), is_rows)->plan;
    const int64_t cost = down.pieces * rows.length / down.groups * work_;
    parallel_ranges(threads_, down.keep.count() * down.groups, cost, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t block = item / down.groups, group = item % down.groups;
        for (const ChainSum& sum : plan_.sums)
          if (sum.plan.columns)
            std::fill_n(run.partial + sum.partial + group * down.outputs + block * down.length, down.length, 0.0);
        for (int64_t p = down.first_of(group); p < down.first_of(group + 1); ++p)
          row_of(run, rows, block * down.pieces + p, group * down.outputs + block * down.length);
      }
    });
  }

  // `columns`: where the row's first column lies in a sum's partial ones.
  void row_of(const Run& run, const ReducePlan& rows, int64_t row, int64_t columns) const {
    for (int64_t group = 0; group < rows.groups; ++group) {
      const auto total_of = [&](const ChainSum& sum) -> double& {
        return run.partial[sum.partial + group * rows.outputs + row];
      };
      for (const ChainSum& sum : plan_.sums)
        if (!sum.plan.columns) total_of(sum) = 0;
      for (int64_t p = rows.first_of(group); p < rows.first_of(group + 1); ++p) {
        const int64_t from = p * ReducePlan::kRun, n = std::min(ReducePlan::kRun, rows.length - from);
        steps_.run(run.inputs, run.outputs, registers(run), row * rows.length + from, n, ahead(kAhead),
                   [&](int step, const T* x) {
                     const ChainSum& sum = plan_.sums[index_of(step)];
                     if (sum.plan.columns)
                       add_columns(sum, x, run.partial + sum.partial + columns + from, n);
                     else
                       total_of(sum) += sum_of(sum, x, n);
                   });
      }
    }
  }

  void combine(const Run& run, const ChainSum& sum) const {
    const double* partial = run.partial + sum.partial;
    T* y = result(run, sum);
    parallel_ranges(threads_, sum.plan.outputs, sum.plan.groups, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        double total = partial[i];
        for (int64_t g = 1; g < sum.plan.groups; ++g) total += partial[g * sum.plan.outputs + i];
        y[i] = static_cast<T>(total);
      }
    });
  }

  ChainPlan plan_;
  ChainSteps<T> steps_;
  ChainOrder order_;
  int threads_;
  int64_t work_;  // steps
  Loops<T> loops_;
};

std::unique_ptr<Kernel> make_chain(const KernelCase& c) {
  const Chain& chain = c.as<Chain>();
  const DType dtype = chain.dtype(c.inputs);
  if (chain.order() == ChainOrder::kElements) return make_stored<ElementChainKernel>(c, dtype);
  return make_floating<SumChainKernel>(c, dtype);
}

}  // namespace

std::span<const KernelEntry> chain_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Chain), make_chain, chain_workspace}};
  return kEntries;
}

}  // namespace synthesizer
