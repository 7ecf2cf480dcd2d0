// For each row of a table, the positions where a list of ids names it, in ascending order: what gradients of gathers
// add up. Made on the device by a stable radix sort of the positions by row, without any order of threads showing.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace synthesizer::cuda {

// Which row position i of `ids` names: ids[i] - first, and `rows_apart` more for each `group` positions before it;
// none unless ids[i] - first is in [0, size).
struct RowsById {
  int64_t positions;  // fewer than 2³¹
  int64_t first = 0, size;
  int64_t group, rows_apart = 0;
  int64_t rows;  // in all; fewer than 2³¹
};

// On the device. Of row r: positions[begin[r]] … positions[begin[r + 1] - 1].
struct PositionLists {
  const int32_t* positions;
  const int32_t* begin;
};

class PositionSort {
 public:
  explicit PositionSort(const RowsById& by);

  int64_t workspace() const { return bytes_; }
  // Gives the work to the stream; the lists lie in `workspace`, 64-byte aligned.
  PositionLists run(cudaStream_t stream, const int32_t* ids, void* workspace) const;

 private:
  RowsById by_;
  int64_t tiles_, array_, counts_, bytes_;  // blocks; bytes of an array by position, of the counts, of all
  int passes_;
};

}  // namespace synthesizer::cuda
