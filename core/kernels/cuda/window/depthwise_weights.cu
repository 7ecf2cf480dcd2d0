// The gradient of depthwise convolution's weights: products of dy with what each place of the window saw.
#include <algorithm>

#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/kernels/cuda/window/depthwise.h"

namespace synthesizer::cuda {
namespace {

// ---- each position's own weights: dots along a head

// A block has kRows positions of one example and head, kPlaces of the window and as many columns as a warp is wide at a
// time; a thread kQuad neighbouring positions times kQuad neighbouring places, so that 11 reads make 16 products.
constexpr int kQuad = 4;
constexpr int kRows = 64, kPlaces = 32;
constexpr int kOwnThreads = kRows * kPlaces / (kQuad * kQuad), kOwnWarps = kOwnThreads / kWarp;
constexpr int kSeen = kRows + kPlaces - 1;

// Where a tile in shared memory has an element. The lanes of a warp read rows 4 apart: these shift by a bank each.
__device__ int skewed(int row, int column) { return row * kWarp + row / kQuad + column; }
constexpr int skewed_size(int rows) { return rows * kWarp + rows / kQuad + 1; }

template <typename T>
__global__ void own_weights_kernel(const T* u, const T* dy, T* dweights, Convolution c, int64_t tiles) {
  using C = Compute<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t example = blockIdx.x / tiles, row = blockIdx.x % tiles * kRows, head = blockIdx.y;
  const int own_row = warp % 2 * (kRows / 2) + lane % 8 * kQuad,
            own_place = warp / 2 * (kPlaces / 2) + lane / 8 * kQuad;
  C* seen = reinterpret_cast<C*>(shared_memory());
  C* given = seen + skewed_size(kSeen);  // of dy
  // Row l of the example, n columns from `column` of the head on.
  const auto fill = [&](C* tile, const T* from, int rows, int64_t first, int64_t column, int n) {
    for (int i = warp; i < rows; i += kOwnWarps) {
      const int64_t l = first + i, at = ((example * c.length + l) * c.heads + head) * c.head + column + lane;
      if (lane < n) tile[skewed(i, lane)] = l >= 0 && l < c.length ? widened(from[at]) : C(0);
    }
  };
  for (int64_t done = 0; done < c.window; done += kPlaces) {
    C sums[kQuad][kQuad] = {};
    for (int64_t column = 0; column < c.head; column += kWarp) {
      const int n = static_cast<int>(min(c.head - column, int64_t{kWarp}));
      __syncthreads();
      fill(seen, u, kSeen, row + done - c.before, column, n);
      fill(given, dy, kRows, row, column, n);
      __syncthreads();
      if (done + own_place >= c.window) continue;
      for (int i = 0; i < n; ++i) {
        C x[2 * kQuad - 1], d[kQuad];
        for (int k = 0; k < 2 * kQuad - 1; ++k) x[k] = seen[skewed(own_row + own_place + k, i)];
        for (int k = 0; k < kQuad; ++k) d[k] = given[skewed(own_row + k, i)];
        for (int r = 0; r < kQuad; ++r)
          for (int w = 0; w < kQuad; ++w) sums[r][w] += d[r] * x[r + w];
      }
    }
    for (int r = 0; r < kQuad; ++r)
      for (int w = 0; w < kQuad; ++w) {
        const int64_t l = row + own_row + r, place = done + own_place + w;
        if (l < c.length && place < c.window)
          dweights[((example * c.length + l) * c.heads + head) * c.window + place] = rounded<T>(sums[r][w]);
      }
  }
}

// ---- weights that all positions share: sums over all of them

constexpr int64_t kMostGroups = 64;  // of positions, each with its own sums
constexpr int64_t kSegment = 64;     // positions of one example that a warp goes through at once
constexpr int kFloats = 32;          // of them that are added up before they are in double
constexpr int kWindow = 8;           // places a warp
constexpr int kMostWarps = 8;

// A lane has a column, and the kWindow rows that its places see at this position in registers: of each row one element
// is read, once for dy and once for u. Row s of what the segment sees is in slot s mod kWindow. Warps of a block have
// the same rows and other places: what one has read is in the cache for the others.
template <typename T>
class SegmentSums {
 public:
  using C = Compute<T>;

  __device__ SegmentSums(const T* u, const T* dy, const Convolution& c, int64_t column, int64_t place)
      : u_(u), dy_(dy), c_(c), column_(column), shift_(place - c.before) {}

  // Adds what positions [begin, begin + n) of an example give.
  __device__ void add(int64_t example, int64_t begin, int n) {
    C slots[kWindow], sums[kWindow] = {};
    for (int k = 0; k < kWindow - 1; ++k) slots[k] = row(u_, example, begin + shift_ + k);
    for (int first = 0; first < n; first += kWindow) {
      for (int k = 0; k < kWindow; ++k) {
        slots[(k + kWindow - 1) % kWindow] = row(u_, example, begin + shift_ + first + k + kWindow - 1);
        const C d = first + k < n ? row(dy_, example, begin + first + k) : C(0);
        for (int w = 0; w < kWindow; ++w) sums[w] += d * slots[(k + w) % kWindow];
      }
      if ((first + kWindow) % kFloats != 0 && first + kWindow < n) continue;
      for (int w = 0; w < kWindow; ++w) {
        total[w] += static_cast<double>(sums[w]);
        sums[w] = 0;
      }
    }
  }

  double total[kWindow] = {};

 private:
  __device__ C row(const T* x, int64_t example, int64_t l) const {
    const int64_t width = c_.heads * c_.head;
    const bool inside = l >= 0 && l < c_.length && column_ < width;
    return inside ? widened(x[(example * c_.length + l) * width + column_]) : C(0);
  }

  const T *u_, *dy_;
  const Convolution& c_;
  int64_t column_, shift_;
};

// Pieces of examples, at most kSegment positions each.
__host__ __device__ constexpr int64_t pieces_of(int64_t length) { return (length + kSegment - 1) / kSegment; }
int64_t groups_of(const Convolution& c) { return std::min(kMostGroups, c.batch * pieces_of(c.length)); }

// A warp's width of columns is a chunk. Chunk and head that meet have sums at index chunk + head: along the columns one
// of the two grows at a time or both do, so no other pair has that index.
__host__ __device__ constexpr int64_t chunks_of(int64_t width) { return (width + kWarp - 1) / kWarp; }

// sums [groups, chunk + head, window] in double; a block has a group (x), a chunk (y) and a warp for kWindow places.
template <typename T>
__global__ void shared_weights_kernel(const T* u, const T* dy, double* sums, Convolution c) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t place = (static_cast<int64_t>(blockIdx.z) * blockDim.x / kWarp + warp) * kWindow;
  if (place >= c.window) return;  // all lanes
  const int64_t group = blockIdx.x, chunk = blockIdx.y, width = c.heads * c.head;
  const int64_t column = chunk * kWarp + lane;
  const int64_t pieces = pieces_of(c.length), segments = c.batch * pieces, groups = gridDim.x;
  SegmentSums<T> own(u, dy, c, column, place);
  for (int64_t s = segments * group / groups; s < segments * (group + 1) / groups; ++s) {
    const int64_t begin = s % pieces * kSegment;
    own.add(s / pieces, begin, static_cast<int>(min(kSegment, c.length - begin)));
  }
  const int64_t last = min(chunk * kWarp + kWarp, width) - 1;
  for (int64_t head = chunk * kWarp / c.head; head <= last / c.head; ++head)
    for (int w = 0; w < kWindow; ++w) {
      const double sum = warp_reduce<Sum>(column / c.head == head ? own.total[w] : 0.0);
      if (lane == 0 && place + w < c.window)
        sums[(group * (chunks_of(width) + c.heads) + chunk + head) * c.window + place + w] = sum;
    }
}

// A warp a weight.
template <typename T>
__global__ void add_groups_kernel(const double* sums, int64_t groups, T* dweights, Convolution c) {
  const int64_t item = thread_of_grid() / kWarp;
  if (item >= c.heads * c.window) return;  // all lanes
  const int64_t head = item / c.window, place = item % c.window, rows = chunks_of(c.heads * c.head) + c.heads;
  const int64_t first = head * c.head / kWarp, chunks = ((head + 1) * c.head - 1) / kWarp - first + 1;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  double sum = 0;
  for (int64_t i = lane; i < groups * chunks; i += kWarp)
    sum += sums[(i / chunks * rows + first + i % chunks + head) * c.window + place];
  sum = warp_reduce<Sum>(sum);
  if (lane == 0) dweights[item] = rounded<T>(static_cast<Compute<T>>(sum));
}

}  // namespace

int64_t depthwise_weights_workspace(const Convolution& c) {
  return c.own ? 0 : groups_of(c) * (chunks_of(c.width()) + c.heads) * c.window * 8;
}

template <typename T>
void depthwise_weights(cudaStream_t stream, const Convolution& c, const T* u, const T* dy, T* dweights,
                       void* workspace) {
  if (c.own) {
    const int64_t tiles = (c.length + kRows - 1) / kRows;
    launch(stream,
           {.name = "own_weights_kernel",
            .blocks = c.batch * tiles,
            .threads = kOwnThreads,
            .shared_bytes = (skewed_size(kSeen) + skewed_size(kRows)) * static_cast<int64_t>(sizeof(Compute<T>)),
            .blocks_y = c.heads},
           own_weights_kernel<T>, u, dy, dweights, c, tiles);
    return;
  }
  auto* sums = static_cast<double*>(workspace);
  const int64_t warps = (c.window + kWindow - 1) / kWindow, blocks_z = (warps + kMostWarps - 1) / kMostWarps;
  launch(stream,
         {.name = "shared_weights_kernel",
          .blocks = groups_of(c),
          .threads = static_cast<int>(std::min<int64_t>(warps, kMostWarps)) * kWarp,
          .blocks_y = chunks_of(c.width()),
          .blocks_z = blocks_z},
         shared_weights_kernel<T>, u, dy, sums, c);
  const int64_t threads = c.heads * c.window * kWarp;
  launch(stream, {"add_groups_kernel", (threads + kThreads - 1) / kThreads}, add_groups_kernel<T>, sums, groups_of(c),
         dweights, c);
}

template void depthwise_weights(cudaStream_t, const Convolution&, const float*, const float*, float*, void*);
template void depthwise_weights(cudaStream_t, const Convolution&, const double*, const double*, double*, void*);
template void depthwise_weights(cudaStream_t, const Convolution&, const BFloat16*, const BFloat16*, BFloat16*, void*);

}  // namespace synthesizer::cuda
