// A stable radix sort of 8 bits a pass: counts of each tile's digits, their running sum over (digit, tile), and each
// position goes to where its digit begins plus how many of the same digit come before it in its tile.
#include <utility>

#include "core/base/error.h"
#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/embedding/position_lists.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/tensor/storage.h"

namespace synthesizer::cuda {
namespace {

constexpr int kBits = 8, kDigits = 1 << kBits;
constexpr int kWarps = kThreads / kWarp;
constexpr int kRounds = 8;                 // a thread's positions
constexpr int kTile = kThreads * kRounds;  // a block's
constexpr int kScanThreads = 1024;
static_assert(kThreads == kDigits, "a thread a digit");

// What a pass reads: in the first one ids, else what the pass before has left.
struct Source {
  const int32_t* ids;  // null in later passes
  const uint32_t* keys;
  const int32_t* positions;
  RowsById by;

  // Positions that name no row come after all others.
  __device__ uint32_t key(int64_t i) const {
    if (ids == nullptr) return keys[i];
    const int64_t id = ids[i] - by.first;
    if (id < 0 || id >= by.size) return static_cast<uint32_t>(by.rows);
    const int64_t before = by.rows_apart == 0 ? 0 : i / by.group * by.rows_apart;
    return static_cast<uint32_t>(before + id);
  }
  __device__ int32_t position(int64_t i) const { return ids == nullptr ? positions[i] : static_cast<int32_t>(i); }
};

// counts [digit, tile].
__global__ void count_digits_kernel(Source source, int shift, int32_t* counts) {
  int* own = reinterpret_cast<int*>(shared_memory());
  own[threadIdx.x] = 0;
  __syncthreads();
  for (int round = 0; round < kRounds; ++round) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kTile + round * kThreads + threadIdx.x;
    if (i < source.by.positions) atomicAdd(&own[source.key(i) >> shift & (kDigits - 1)], 1);
  }
  __syncthreads();
  counts[static_cast<int64_t>(threadIdx.x) * gridDim.x + blockIdx.x] = own[threadIdx.x];
}

// The sum of the values of all threads before this one.
__device__ int sum_before(int value, int* space) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  int sum = value;
  for (int apart = 1; apart < kWarp; apart *= 2) {
    const int lower = __shfl_up_sync(kAllLanes, sum, static_cast<unsigned>(apart));
    if (lane >= apart) sum += lower;
  }
  if (lane == kWarp - 1) space[warp] = sum;
  __syncthreads();
  int before = 0;
  for (int w = 0; w < warp; ++w) before += space[w];
  return before + sum - value;
}

// Each count becomes the sum of those before it. One block: there are but 256 counts for 2,048 positions.
__global__ void scan_kernel(int32_t* counts, int64_t n) {
  const int64_t each = (n + blockDim.x - 1) / blockDim.x;
  const int64_t begin = min(each * threadIdx.x, n), end = min(begin + each, n);
  int sum = 0;
  for (int64_t i = begin; i < end; ++i) sum += counts[i];
  int before = sum_before(sum, reinterpret_cast<int*>(shared_memory()));
  for (int64_t i = begin; i < end; ++i) {
    const int count = counts[i];
    counts[i] = before;
    before += count;
  }
}

// The lanes whose digit is this lane's, of those that have one.
__device__ unsigned lanes_alike(unsigned digit, bool has_one) {
  unsigned alike = __ballot_sync(kAllLanes, has_one);
  for (int bit = 0; bit < kBits; ++bit) {
    const unsigned set = __ballot_sync(kAllLanes, static_cast<int>(digit >> bit & 1u));
    alike &= (digit >> bit & 1u) != 0 ? set : ~set;
  }
  return alike;
}

// A warp has consecutive positions of the tile, and counts of its own.
__global__ void scatter_kernel(Source source, int shift, const int32_t* begins, uint32_t* keys, int32_t* positions) {
  int* counts = reinterpret_cast<int*>(shared_memory());  // [warp, digit]
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  int* own = counts + warp * kDigits;
  for (int i = lane; i < kDigits; i += kWarp) own[i] = 0;
  __syncwarp();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile + warp * (kTile / kWarps) + lane;
  uint32_t key[kRounds];
  int rank[kRounds];
  for (int round = 0; round < kRounds; ++round) {
    const int64_t i = first + round * kWarp;
    const bool inside = i < source.by.positions;
    key[round] = inside ? source.key(i) : 0;
    const unsigned digit = key[round] >> shift & (kDigits - 1), alike = lanes_alike(digit, inside);
    const int before = own[digit], lower = __popc(alike & ((1u << lane) - 1));
    rank[round] = before + lower;
    __syncwarp();
    if (inside && lower == 0) own[digit] = before + __popc(alike);
    __syncwarp();
  }
  __syncthreads();
  int begin = begins[static_cast<int64_t>(thread) * gridDim.x + blockIdx.x];
  for (int w = 0; w < kWarps; ++w) {
    const int count = counts[w * kDigits + thread];
    counts[w * kDigits + thread] = begin;
    begin += count;
  }
  __syncthreads();
  for (int round = 0; round < kRounds; ++round) {
    const int64_t i = first + round * kWarp;
    if (i >= source.by.positions) continue;
    const int to = own[key[round] >> shift & (kDigits - 1)] + rank[round];
    keys[to] = key[round];
    positions[to] = source.position(i);
  }
}

// begin[r]: how many keys are below r, for r = 0 … rows.
__global__ void begins_kernel(const uint32_t* keys, int64_t n, int32_t* begin, int64_t rows) {
  for (int64_t r = thread_of_grid(); r <= rows; r += threads_of_grid()) {
    int64_t low = 0, high = n;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (keys[middle] < static_cast<uint32_t>(r))
        low = middle + 1;
      else
        high = middle;
    }
    begin[r] = static_cast<int32_t>(low);
  }
}

}  // namespace

PositionSort::PositionSort(const RowsById& by)
    : by_(by),
      tiles_((by.positions + kTile - 1) / kTile),
      array_(align_up(by.positions * 4)),
      counts_(align_up(kDigits * tiles_ * 4)),
      bytes_(4 * array_ + counts_ + align_up((by.rows + 1) * 4)),
      passes_(1) {
  CHECK(by.positions <= INT32_MAX && by.rows < INT32_MAX, "{} positions, {} rows", by.positions, by.rows);
  while (by.rows >> (kBits * passes_) != 0) ++passes_;
}

PositionLists PositionSort::run(cudaStream_t stream, const int32_t* ids, void* workspace) const {
  auto* at = static_cast<std::byte*>(workspace);
  uint32_t* keys[2];
  int32_t* positions[2];
  for (int i = 0; i < 2; ++i) {
    keys[i] = reinterpret_cast<uint32_t*>(at + i * array_);
    positions[i] = reinterpret_cast<int32_t*>(at + (2 + i) * array_);
  }
  auto* counts = reinterpret_cast<int32_t*>(at + 4 * array_);
  auto* begin = reinterpret_cast<int32_t*>(at + 4 * array_ + counts_);
  for (int pass = 0; pass < passes_; ++pass) {
    const Source source{pass == 0 ? ids : nullptr, keys[1], positions[1], by_};
    const int shift = kBits * pass;
    launch(stream, {"count_digits_kernel", tiles_, kThreads, kDigits * 4}, count_digits_kernel, source, shift, counts);
    launch(stream, {"scan_kernel", 1, kScanThreads, kWarp * 4}, scan_kernel, counts, kDigits * tiles_);
    launch(stream, {"scatter_kernel", tiles_, kThreads, kWarps * kDigits * 4}, scatter_kernel, source, shift, counts,
           keys[0], positions[0]);
    std::swap(keys[0], keys[1]);
    std::swap(positions[0], positions[1]);
  }
  launch(stream, {"begins_kernel", blocks_for(by_.rows + 1)}, begins_kernel, keys[1], by_.positions, begin, by_.rows);
  return {positions[1], begin};
}

}  // namespace synthesizer::cuda
