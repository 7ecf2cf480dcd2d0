// The table of documents: a block an example finds its documents, then each moves them behind those of the examples
// before it.
#include "core/kernels/cuda/attention/dot_documents.h"
#include "core/kernels/cuda/attention/dot_sizes.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {
namespace {

struct Tokens {
  const int32_t *segments, *positions;
  int length;

  // By how much row i is moved; -1: it is of no document.
  __device__ int shift(int64_t first, int i) const {
    if (i < 0 || i >= length || segments[first + i] == 0) return -1;
    const int32_t place = positions[first + i];
    return place < 0 || place > i ? -1 : i - place;
  }
  // Whether row i has the same document as the row before it, both being of one.
  __device__ bool continues(int64_t first, int i) const {
    const int own = shift(first, i);
    return own >= 0 && own == shift(first, i - 1) && segments[first + i] == segments[first + i - 1];
  }
};

// A block's documents begin at its first row's element of `found`, where there is room for one a row.
__global__ void find_documents_kernel(Tokens tokens, Document* found, int32_t* counts) {
  int32_t* const of_warp = reinterpret_cast<int32_t*>(shared_memory());
  const int example = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp, warp = thread / kWarp;
  const int threads = static_cast<int>(blockDim.x), warps = threads / kWarp;
  const int64_t first = static_cast<int64_t>(example) * tokens.length;
  int before = 0;  // documents of earlier rows
  for (int base = 0; base < tokens.length; base += threads) {
    const int i = base + thread, shift = tokens.shift(first, i);
    const bool begins = shift >= 0 && !tokens.continues(first, i);
    const unsigned beginnings = __ballot_sync(kAllLanes, begins);
    if (lane == 0) of_warp[warp] = __popc(beginnings);
    __syncthreads();
    int count = before;
    for (int w = 0; w < warps; ++w) {
      if (w < warp) count += of_warp[w];
      before += of_warp[w];
    }
    __syncthreads();
    count += __popc(beginnings & ((2u << lane) - 1));  // this row's among them
    if (shift < 0) continue;
    Document& document = found[first + count - 1];
    if (begins) document.example = example, document.begin = i, document.shift = shift;
    if (!tokens.continues(first, i + 1)) document.end = i + 1;
  }
  if (thread == 0) counts[example] = before;
}

// A block an example.
__global__ void list_documents_kernel(const Document* found, const int32_t* counts, int length, Document* list,
                                      int32_t* starts) {
  int32_t* const space = reinterpret_cast<int32_t*>(shared_memory());
  const int example = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  int32_t start = 0;
  for (int b = thread; b < example; b += static_cast<int>(blockDim.x)) start += counts[b];
  start = block_reduce<Sum>(start, int32_t{0}, space);
  const int32_t count = counts[example];
  for (int n = thread; n < count; n += static_cast<int>(blockDim.x))
    list[start + n] = found[static_cast<int64_t>(example) * length + n];
  if (thread > 0) return;
  starts[example] = start;
  if (blockIdx.x + 1 == gridDim.x) starts[example + 1] = start + count;
}

struct Table {
  Table(int64_t batch, int64_t length, void* memory) {
    Carver carver(memory);
    found = carver.take<Document>(batch * length);
    list = carver.take<Document>(batch * length);
    counts = carver.take<int32_t>(batch);
    starts = carver.take<int32_t>(batch + 1);
    bytes = carver.used();
  }
  Document *found, *list;
  int32_t *counts, *starts;
  int64_t bytes;
};

}  // namespace

int64_t documents_bytes(int64_t batch, int64_t length) { return Table(batch, length, nullptr).bytes; }

Documents find_documents(cudaStream_t stream, const int32_t* segments, const int32_t* positions, int64_t batch,
                         int64_t length, void* memory) {
  const Table table(batch, length, memory);
  constexpr int64_t kShared = kThreads / kWarp * static_cast<int64_t>(sizeof(int32_t));
  launch(stream, {"find_documents_kernel", batch, kThreads, kShared}, find_documents_kernel,
         Tokens{segments, positions, static_cast<int>(length)}, table.found, table.counts);
  launch(stream, {"list_documents_kernel", batch, kThreads, kShared}, list_documents_kernel, table.found, table.counts,
         static_cast<int>(length), table.list, table.starts);
  return {table.list, table.starts, 0};
}

}  // namespace synthesizer::cuda
