// The rows of a softmax on the device: where they lie, what a query sees of them, and who takes which of their
// elements.
#pragma once

#include <algorithm>
#include <bit>
#include <vector>

#include "core/kernels/cuda/device/walk.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/softmax.h"

namespace synthesizer::cuda {

// All dims of x but `over`, and where the causal query's index is found in a row's number. Passed to kernels.
struct SoftmaxRows {
  SoftmaxRows() = default;
  // `shapes`: of the tensors that are walked by rows, at most 4; x first.
  SoftmaxRows(const SoftmaxOptions& options, std::span<const Shape* const> shapes) : causal(options.causal) {
    const Shape& x = *shapes[0];
    std::vector<Dim> dims;
    length = x.size(options.over);
    count = 1;
    for (size_t i = x.rank(); i-- > 0;) {
      const Dim& dim = x.dims()[i];
      if (dim.name == options.over) continue;
      dims.insert(dims.begin(), dim);
      if (options.causal && dim.name == options.query) {
        query_divisor = count;
        query_size = dim.size;
      }
      count *= dim.size;
    }
    Walk rows(dims, shapes);
    rows.merge();
    walk = DeviceWalk<4>(rows);
    for (size_t t = 0; t < shapes.size(); ++t) stride[t] = stride_of(*shapes[t], options.over);
  }

  // How many keys a row may see.
  __device__ int64_t seen(int64_t row) const {
    if (!causal) return length;
    const int64_t query = row / query_divisor % query_size;
    return query < length ? query + 1 : length;
  }

  DeviceWalk<4> walk;
  int64_t count = 1, length = 1, query_divisor = 1, query_size = 1;
  int64_t stride[4] = {};  // of each tensor from one element of a row to the next
  bool causal = false;
};

// ---- Rows of at most 1024 elements side by side: a warp has a row, or several short ones, and keeps it in registers.

inline constexpr int kMostInRegisters = 32;  // elements of a lane

// Lane `of_row` of a row's `lanes` has kPacked elements at a time that lie side by side, kHeld in all.
template <int kHeld, int kPacked>
struct HeldRow {
  static constexpr int kPacks = kHeld / kPacked;
  int lanes, of_row;

  __device__ int64_t first_of(int pack) const { return (static_cast<int64_t>(pack) * lanes + of_row) * kPacked; }
};

// Of the `lanes` (a power of two) of a row, on each of them; all lanes of the warp call it.
template <typename Combine, typename C>
__device__ inline C row_reduce(C value, int lanes) {
  for (int apart = lanes / 2; apart > 0; apart /= 2)
    value = Combine::of(value, __shfl_xor_sync(kAllLanes, value, apart));
  return value;
}

// Which kernel takes rows of this length: visit.operator()<kHeld, kPacked>(lanes). `packed`: every row begins aligned
// to kPack<T> elements and holds a multiple of them.
template <typename T, typename Visit>
void by_length(int64_t length, bool packed, const Visit& visit) {
  if (length <= kWarp / 2 || (!packed && length <= kWarp))
    return visit.template operator()<1, 1>(static_cast<int>(std::bit_ceil(static_cast<uint64_t>(length))));
  if (length <= 8 * kWarp)
    return packed ? visit.template operator()<8, kPack<T>>(kWarp) : visit.template operator()<8, 1>(kWarp);
  return packed ? visit.template operator()<32, kPack<T>>(kWarp) : visit.template operator()<32, 1>(kWarp);
}

// Of warps, each with rows of `lanes` lanes.
inline int64_t blocks_of_rows(int64_t rows, int lanes) {
  return blocks_for((rows + kWarp / lanes - 1) / (kWarp / lanes) * kWarp);
}

// ---- Longer rows, a block each; and rows whose elements lie apart, a thread each: neighbouring rows then lie side by
// side. Elements are read again for each pass over the row.

struct BlockTeam {
  static constexpr int64_t kSharedBytes = 2 * kWarp * 8;
  static __device__ int64_t first_row() { return blockIdx.x; }
  static __device__ int64_t rows_apart() { return gridDim.x; }
  static __device__ int rank() { return static_cast<int>(threadIdx.x); }
  static __device__ int size() { return static_cast<int>(blockDim.x); }
  // Called in turns, so that each has passed the other's barrier.
  template <typename C>
  static __device__ C largest(C value) {
    return block_reduce<Largest>(value, minus_infinity<C>(), reinterpret_cast<C*>(shared_memory()));
  }
  template <typename C>
  static __device__ C sum(C value) {
    return block_reduce<Sum>(value, C(0), reinterpret_cast<C*>(shared_memory() + kWarp * 8));
  }
};

struct ThreadTeam {
  static constexpr int64_t kSharedBytes = 0;
  static __device__ int64_t first_row() { return thread_of_grid(); }
  static __device__ int64_t rows_apart() { return threads_of_grid(); }
  static __device__ int rank() { return 0; }
  static __device__ int size() { return 1; }
  template <typename C>
  static __device__ C largest(C value) {
    return value;
  }
  template <typename C>
  static __device__ C sum(C value) {
    return value;
  }
};

}  // namespace synthesizer::cuda
