// The sums of a chain, taken up in the order of core/kernels/cuda/reduce_plan.h, so that they have the bits of a Reduce
// of its own. A thread keeps its sums in shared memory, an element of each thread side by side.
#pragma once

#include "core/kernels/cuda/chain/chain_steps.h"

namespace synthesizer::cuda {

struct NoSums {
  template <typename T>
  __device__ void take(const ChainCode&, const Four<T>&, int) const {}
};

template <typename T>
__device__ inline double lane_sum_of(const ChainCode& code, const Four<T>& x, int n) {
  return code.op == kSumSquaresOp ? lane_sum<AddSquares>(x, n) : lane_sum<AddUp>(x, n);
}

template <typename T>
__device__ inline void put_sum(const ChainSumPlace& place, double sum, int64_t group, int64_t output, int64_t outputs) {
  if (place.partial == nullptr)
    static_cast<T*>(place.y)[output] = static_cast<T>(sum);
  else
    place.partial[group * outputs + output] = sum;
}

// Over rows: a double for each sum, the same in all lanes of a row.
struct RowSums {
  double* own;
  int lanes;

  __device__ double& of(int sum) const { return own[sum * static_cast<int>(blockDim.x)]; }
  template <typename T>
  __device__ void take(const ChainCode& code, const Four<T>& x, int n) const {
    of(code.of) += tile_sum<AddUp>(lane_sum_of(code, x, n), lanes);
  }
};

// Over columns: four doubles for each sum.
struct ColumnSums {
  double* own;

  __device__ double& of(int sum, int j) const { return own[(sum * kFour + j) * static_cast<int>(blockDim.x)]; }
  __device__ void clear(int sums) const {
    for (int i = 0; i < sums * kFour; ++i) of(0, i) = 0;
  }
  template <typename T>
  __device__ void take(const ChainCode& code, const Four<T>& x, int n) const {
    for (int j = 0; j < kFour; ++j) {
      if (j >= n) break;
      double& sum = of(code.of, j);
      const auto wide = static_cast<double>(x.at[j]);
      sum = code.op == kSumSquaresOp ? AddSquares::take(sum, wide) : AddUp::take(sum, wide);
    }
  }
  template <typename T>
  __device__ void put(const ChainSumPlace& place, int sum, int64_t group, int64_t output, int n,
                      int64_t outputs) const {
    for (int j = 0; j < kFour; ++j)
      if (j < n) put_sum<T>(place, of(sum, j), group, output + j, outputs);
  }
};

// Both: those over rows are the sums of tiles, which are joined later.
template <typename T>
struct RowAndColumnSums {
  ColumnSums columns;
  const ChainThread<T>& thread;
  int lanes;
  bool first;  // of the row's lanes, and there is a row
  int64_t tile, row, rows;

  __device__ void take(const ChainCode& code, const Four<T>& x, int n) const {
    const ChainSumPlace& place = thread.sum_place(code.of);
    if (place.rows == 0) return columns.take(code, x, n);
    const double sum = tile_sum<AddUp>(lane_sum_of(code, x, n), lanes);
    if (first) put_sum<T>(place, sum, tile, row, rows);
  }
};

}  // namespace synthesizer::cuda
