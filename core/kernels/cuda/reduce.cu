// Reductions over named dims, in the order of core/kernels/cuda/reduce_plan.h.
#include "core/kernels/cuda/device/combine.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/ops/reduce.h"
#include "core/tensor/storage.h"

namespace synthesizer::cuda {
namespace {

// The memory of a part (blockIdx.y) in x, among the sums of groups, and among the results.
template <typename T, typename Out>
struct Part {
  const T* x;
  double* partial;  // [group, output]
  Out* y;

  __device__ Part(const T* all, double* sums, Out* results, const ReducePlan& plan, int64_t part_offset)
      : x(all + blockIdx.y * part_offset),
        partial(sums + blockIdx.y * plan.groups * plan.outputs),
        y(results + blockIdx.y * plan.outputs) {}
  __device__ void put(double sum, int64_t group, int64_t output, const ReducePlan& plan) const {
    if (plan.groups == 1)
      y[output] = rounded<Out>(sum);
    else
      partial[group * plan.outputs + output] = sum;
  }
};

// Tiles or rows that are read at once, so that memory has enough to do.
template <typename T>
constexpr int kTogether = sizeof(T) == 2 ? 8 : 4;

// A warp has a row, or several short ones, of one group of tiles.
template <typename F, typename T, typename Out>
__global__ void reduce_rows_kernel(const T* all, double* sums, Out* results, ReducePlan plan, int64_t part_offset) {
  const Part<T, Out> part(all, sums, results, plan, part_offset);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, of_row = lane % plan.lanes;
  for (int64_t item = thread_of_grid() / kWarp; item < plan.items; item += threads_of_grid() / kWarp) {
    const int64_t row = item / plan.groups, group = item - row * plan.groups;
    const int64_t place = row * (kWarp / plan.lanes) + lane / plan.lanes;
    const bool is_place = place < plan.places;
    const T* x = part.x + (is_place ? plan.keep.offset(place) : 0) + of_row * kFour;
    const int64_t end = plan.first_of(group + 1);
    int64_t run = plan.first_of(group) / plan.tiles, tile = plan.first_of(group) - run * plan.tiles;
    const T* of_run = x + plan.over.offset(run);
    double total = F::start();
    for (int64_t piece = plan.first_of(group); piece < end; piece += kTogether<T>) {
      Four<T> read[kTogether<T>];
      int count[kTogether<T>];
      for (int i = 0; i < kTogether<T>; ++i) {
        count[i] = is_place && piece + i < end ? within(tile * kTile + of_row * kFour, plan.length) : 0;
        read[i] = load_four(of_run + tile * kTile, count[i]);
        if (++tile < plan.tiles || piece + i + 1 >= end) continue;
        tile = 0;
        of_run = x + plan.over.offset(++run);
      }
      for (int i = 0; i < kTogether<T>; ++i)
        if (piece + i < end) total = F::join(total, tile_sum<F>(lane_sum<F>(read[i], count[i]), plan.lanes));
    }
    if (of_row == 0 && is_place) part.put(total, group, place, plan);
  }
}

// A warp has 128 columns of a group of rows, or narrower ones of several groups; each lane has four columns.
template <typename F, typename T, typename Out>
__global__ void reduce_columns_kernel(const T* all, double* sums, Out* results, ReducePlan plan, int64_t part_offset) {
  const Part<T, Out> part(all, sums, results, plan, part_offset);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, side_by_side = kWarp / plan.lanes;
  const int64_t group_items = (plan.groups + side_by_side - 1) / side_by_side;
  for (int64_t item = thread_of_grid() / kWarp; item < plan.items; item += threads_of_grid() / kWarp) {
    const int64_t group = item % group_items * side_by_side + lane / plan.lanes;
    const int64_t tile = item / group_items % plan.tiles, place = item / group_items / plan.tiles;
    const int64_t column = tile * kTile + lane % plan.lanes * kFour;
    const int count = group < plan.groups ? within(column, plan.length) : 0;
    if (count == 0) continue;
    const T* x = part.x + plan.keep.offset(place) + column;
    double total[kFour];
    for (double& sum : total) sum = F::start();
    const int64_t end = plan.first_of(group + 1);
    for (int64_t row = plan.first_of(group); row < end; row += kTogether<T>) {
      Four<T> read[kTogether<T>];
      for (int i = 0; i < kTogether<T>; ++i)
        if (row + i < end) read[i] = load_four(x + plan.over.offset(row + i), count);
      for (int i = 0; i < kTogether<T>; ++i)
        if (row + i < end)
          for (int j = 0; j < kFour; ++j) total[j] = F::take(total[j], static_cast<double>(widened(read[i].at[j])));
    }
    for (int j = 0; j < kFour; ++j)
      if (j < count) part.put(total[j], group, place * plan.length + column + j, plan);
  }
}

// Neighbours first, as they are stored, as ranks with a part each do it.
template <typename F, typename Out>
__global__ void join_parts_kernel(Out* parts, Out* y, int64_t count, int64_t outputs) {
  for (int64_t i = thread_of_grid(); i < outputs; i += threads_of_grid()) {
    for (int64_t step = 1; step < count; step *= 2)
      for (int64_t p = 0; p + step < count; p += 2 * step) {
        Out& a = parts[p * outputs + i];
        a = rounded<Out>(F::join_stored(widened(a), widened(parts[(p + step) * outputs + i])));
      }
    y[i] = parts[i];
  }
}

struct JoinSum {
  template <typename C>
  static __device__ C join_stored(C a, C b) {
    return a + b;
  }
};
struct JoinLargest {
  template <typename C>
  static __device__ C join_stored(C a, C b) {
    return Largest::of(a, b);
  }
};

ReduceWalk walk_of(const KernelCase& c) { return ReduceWalk(c.in(0), c.out(0), c.as<Reduce>().parts()); }

int64_t partial_bytes(const ReducePlan& plan, int64_t parts) {
  return plan.groups == 1 ? 0 : align_up(parts * plan.groups * plan.outputs * 8);
}

// The sums of groups, then the results of parts, if there are several.
int64_t reduce_workspace(const KernelCase& c) {
  const ReduceWalk walk = walk_of(c);
  return partial_bytes(ReducePlan(walk), walk.parts) +
         (walk.parts == 1 ? 0 : walk.outputs * walk.parts * size_of(c.outputs[0].dtype));
}

// Results are of type Out: T, or Compute<T>.
template <typename T, typename Out>
class ReduceKernel : public Kernel {
 public:
  explicit ReduceKernel(const KernelCase& c) : stream_(c.context.stream), function_(c.as<Reduce>().function()) {
    const ReduceWalk walk = walk_of(c);
    plan_ = ReducePlan(walk);
    parts_ = walk.parts;
    part_offset_ = walk.part_offset;
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T* x = input<T>(inputs, 0);
    Out* y = output<Out>(outputs, 0);
    switch (function_) {
      case ReduceFunction::kSum:
        return reduce<AddUp, JoinSum>(x, y, workspace);
      case ReduceFunction::kMax:
        return reduce<TakeLargest, JoinLargest>(x, y, workspace);
      case ReduceFunction::kSumSquares:
        return reduce<AddSquares, JoinSum>(x, y, workspace);
    }
  }

 private:
  template <typename F, typename Join>
  void reduce(const T* x, Out* y, void* workspace) const {
    double* const partial = static_cast<double*>(workspace);
    Out* const of_parts =
        parts_ == 1 ? y : reinterpret_cast<Out*>(static_cast<std::byte*>(workspace) + partial_bytes(plan_, parts_));
    const int64_t blocks = blocks_for(plan_.items * kWarp);
    if (plan_.columns)
      launch(stream_, {"reduce_columns_kernel", blocks, kThreads, 0, parts_}, reduce_columns_kernel<F, T, Out>, x,
             partial, of_parts, plan_, part_offset_);
    else
      launch(stream_, {"reduce_rows_kernel", blocks, kThreads, 0, parts_}, reduce_rows_kernel<F, T, Out>, x, partial,
             of_parts, plan_, part_offset_);
    if (plan_.groups > 1) combine<F>(stream_, partial, of_parts, plan_.groups, plan_.outputs, parts_);
    if (parts_ > 1)
      launch(stream_, {"join_parts_kernel", blocks_for(plan_.outputs)}, join_parts_kernel<Join, Out>, of_parts, y,
             parts_, plan_.outputs);
  }

  cudaStream_t stream_;
  ReduceFunction function_;
  ReducePlan plan_;
  int64_t parts_, part_offset_;
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
  static const KernelEntry kEntries[] = {{&typeid(Reduce), make_reduce, reduce_workspace}};
  return kEntries;
}

}  // namespace synthesizer::cuda
