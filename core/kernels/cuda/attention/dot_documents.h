// Documents of packed rows, for sums over all that meet what the examples share at one place: each is gone through in
// order, by places.
#pragma once

#include <cuda_runtime.h>

#include <climits>
#include <cstdint>

#include "core/kernels/cuda/device/device_code.h"

namespace synthesizer::cuda {

// Rows [begin, end) of an example, at places [begin - shift, end - shift): 0 <= shift <= begin.
struct alignas(16) Document {
  int32_t example, begin, end, shift;
};

// On the device. Those of example b are documents[starts[b]] to documents[starts[b + 1] - 1].
struct Documents {
  const Document* list;
  const int32_t* starts;
  int first_example;  // which example of the list a kernel's first one is

  Documents from(int64_t example) const { return {list, starts + example, first_example + static_cast<int>(example)}; }
};

// The longest runs of rows that have one segment, not 0, and of which positions [batch, length] say one shift, from 0
// up. `memory`: of documents_bytes(), which must stay.
int64_t documents_bytes(int64_t batch, int64_t length);
Documents find_documents(cudaStream_t stream, const int32_t* segments, const int32_t* positions, int64_t batch,
                         int64_t length, void* memory);

// The next document after n, before `end`, that has places from p on; `end` if there is none. Whole warps call it.
__device__ inline int next_document(const Document* list, int n, int end, int p) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int first = n + 1; first < end; first += kWarp) {
    const int at = first + lane;
    const unsigned found = __ballot_sync(kAllLanes, at < end && list[at].end - list[at].shift > p);
    if (found != 0) return first + __popc((found & (~found + 1)) - 1);
  }
  return end;
}

// A part of the sum that a block makes of a tile of places: an example's queries from i0 and keys from j0, of which
// rows [begin, end) and keys below `end` count.
struct SumPart {
  __device__ SumPart(int example, int i0, int j0) : example(example), i0(i0), j0(j0), begin(0), end(INT_MAX) {}
  __device__ SumPart(const Documents& documents, int n, int p0, int q0) {
    const Document d = documents.list[n];
    example = d.example - documents.first_example;
    i0 = p0 + d.shift;
    j0 = q0 + d.shift;
    begin = d.begin;
    end = d.end;
  }
  __device__ bool counts(int i, int j) const { return i >= begin && i < end && j < end; }

  int example, i0, j0, begin, end;
};

}  // namespace synthesizer::cuda
