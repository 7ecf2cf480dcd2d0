// The kernels of chains: who takes which elements of the index space in the order that the chain's sums ask for.
#pragma once

#include "core/kernels/cuda/chain/chain_sums.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {

// A program, or a part of one, as an argument: all arguments of a kernel have 4096 bytes.
struct ChainArgument {
  static constexpr int64_t kBytes = 3072;
  uint4 words[kBytes / 16];
};

// The block's shared memory: the program, then from 32 bytes on the slots of its threads, then their sums.
template <typename T>
struct ChainMemory {
  ChainPack<T>* slots;
  double* sums;

  static __host__ __device__ int64_t program_bytes(int64_t bytes) { return (bytes + 31) / 32 * 32; }
  static int64_t thread_bytes(int64_t slots, int64_t doubles) {
    return slots * static_cast<int64_t>(sizeof(ChainPack<T>)) + doubles * 8;
  }

  // All threads of the block call it.
  __device__ ChainMemory(const uint4* program, int words) {
    unsigned char* const memory = shared_memory();
    for (int i = static_cast<int>(threadIdx.x); i < words; i += static_cast<int>(blockDim.x))
      reinterpret_cast<uint4*>(memory)[i] = program[i];
    __syncthreads();
    slots = reinterpret_cast<ChainPack<T>*>(memory + program_bytes(words * 16));
    const int count = reinterpret_cast<const ChainHeader*>(memory)->slots;
    sums = reinterpret_cast<double*>(slots + count * static_cast<int>(blockDim.x)) + threadIdx.x;
  }
};

// As the elements lie.
struct ChainElements {
  static constexpr int kDoubles = 0;  // of a sum and thread

  template <typename T>
  static __device__ void run(const GridSlice& grid, const ChainThread<T>& thread, double*, const ReducePlan&) {
    constexpr int kWidth = kChainWidth<T>;
    const int64_t count = thread.count();
    for (int64_t at = grid.thread() * kWidth; at < count; at += grid.threads() * kWidth)
      thread.run(at, within<kWidth>(at, count), NoSums());
  }
};

// As reduce_rows_kernel goes.
struct ChainRows {
  static constexpr int kDoubles = 1;

  template <typename T>
  static __device__ void run(const GridSlice& grid, const ChainThread<T>& thread, double* own, const ReducePlan& plan) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, of_row = lane % plan.lanes;
    const RowSums sums{own, plan.lanes};
    for (int64_t item = grid.thread() / kWarp; item < plan.items; item += grid.threads() / kWarp) {
      const int64_t row = item / plan.groups, group = item - row * plan.groups;
      const int64_t place = row * (kWarp / plan.lanes) + lane / plan.lanes;
      const bool is_place = place < plan.places;
      const int64_t begin = is_place ? plan.keep.offset(place) : 0, end = plan.first_of(group + 1);
      int64_t run = plan.first_of(group) / plan.tiles, tile = plan.first_of(group) - run * plan.tiles;
      int64_t of_run = begin + plan.over.offset(run);
      for (int i = 0; i < thread.sums(); ++i) sums.of(i) = 0;
      for (int64_t piece = plan.first_of(group); piece < end; ++piece) {
        const int64_t at = tile * kTile + of_row * kFour;
        thread.run(of_run + at, is_place ? within(at, plan.length) : 0, sums);
        if (++tile < plan.tiles || piece + 1 == end) continue;
        tile = 0;
        of_run = begin + plan.over.offset(++run);
      }
      if (of_row != 0 || !is_place) continue;
      for (int i = 0; i < thread.sums(); ++i) put_sum<T>(thread.sum_place(i), sums.of(i), group, place, plan.outputs);
    }
  }
};

// As reduce_columns_kernel goes. With kRows also sums over rows: `plan.places` blocks of `plan.pieces` rows, tile by
// tile; then the warps of narrow rows take the same number of them, as they add up lanes together.
template <bool kRows>
struct ChainColumns {
  static constexpr int kDoubles = kFour;

  template <typename T>
  static __device__ void run(const GridSlice& grid, const ChainThread<T>& thread, double* own, const ReducePlan& plan) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, side_by_side = kWarp / plan.lanes;
    const int of_row = lane % plan.lanes;
    const int64_t group_items = (plan.groups + side_by_side - 1) / side_by_side;
    const int64_t most_rows = (plan.pieces + plan.groups - 1) / plan.groups;
    const ColumnSums sums{own};
    for (int64_t item = grid.thread() / kWarp; item < plan.items; item += grid.threads() / kWarp) {
      const int64_t group = item % group_items * side_by_side + lane / plan.lanes;
      const int64_t tile = item / group_items % plan.tiles, place = item / group_items / plan.tiles;
      const int64_t column = tile * kTile + of_row * kFour;
      const bool is_group = group < plan.groups;
      const int count = is_group ? within(column, plan.length) : 0;
      const int64_t first = is_group ? plan.first_of(group) : 0, end = is_group ? plan.first_of(group + 1) : 0;
      const int64_t begin = plan.keep.offset(place) + column;
      sums.clear(thread.sums());
      for (int64_t i = 0; i < most_rows; ++i) {
        const int64_t row = first + i;
        const int n = row < end ? count : 0;
        if constexpr (kRows) {
          const bool leads = of_row == 0 && row < end;
          const RowAndColumnSums<T> both{
              sums, thread, plan.lanes, leads, tile, place * plan.pieces + row, plan.places * plan.pieces};
          thread.run((place * plan.pieces + row) * plan.length + column, n, both);
        } else if (n > 0) {
          thread.run(begin + plan.over.offset(row), n, sums);
        }
      }
      for (int i = 0; i < thread.sums(); ++i) {
        const ChainSumPlace& to = thread.sum_place(i);
        if (to.rows == 0) sums.put<T>(to, i, group, place * plan.length + column, count, plan.outputs);
      }
    }
  }
};

// `kept`: the program in memory; null if it is the argument.
template <typename T, typename Order>
__global__ void __launch_bounds__(kThreads, 3)
    chain_kernel(const __grid_constant__ ChainArgument argument, const uint4* kept, int words, ReducePlan plan) {
  const ChainMemory<T> memory(kept == nullptr ? argument.words : kept, words);
  const ChainThread<T> thread(shared_memory(), memory.slots);
  Order::run(whole_grid(), thread, memory.sums, plan);
}

// Of sums over rows whose tiles lie apart: tiles [tile, row] of each group are added one after the other.
template <typename T>
__device__ void join_tiles(const GridSlice& grid, const double* tiles, double* partial, T* y, const ReducePlan& plan) {
  for (int64_t i = grid.thread(); i < plan.groups * plan.outputs; i += grid.threads()) {
    const int64_t group = i / plan.outputs, row = i - group * plan.outputs;
    double sum = 0;
    for (int64_t tile = plan.first_of(group); tile < plan.first_of(group + 1); ++tile)
      sum += tiles[tile * plan.outputs + row];
    if (plan.groups == 1)
      y[row] = static_cast<T>(sum);
    else
      partial[i] = sum;
  }
}

template <typename T>
__global__ void join_tiles_kernel(const double* tiles, double* partial, T* y, ReducePlan plan) {
  join_tiles<T>(whole_grid(), tiles, partial, y, plan);
}

}  // namespace synthesizer::cuda
