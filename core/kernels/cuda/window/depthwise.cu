// Depthwise convolution, and the gradient of what it sees, which is the same convolution with the windows reversed.
#include <algorithm>

#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/kernels/cuda/window/depthwise.h"
#include "core/ops/window.h"

namespace synthesizer::cuda {
namespace {

// A block has kRows positions of one example and a warp's width of columns; a thread kRun positions, one below the
// other, of one column. What they see lies in shared memory with the weights, some places of a long window at a time.
constexpr int kRun = 8;
constexpr int kWarps = kThreads / kWarp;
constexpr int kRows = kWarps * kRun;

struct Tiles {
  int64_t count;      // of an example's positions
  int heads, places;  // whose weights there is space for
};

// From a head's weights in shared memory to the next one's: odd, for the banks.
__host__ __device__ constexpr int filter_size(int places) { return places | 1; }
// The positions whose own weights a block needs: its own or, the other way round, those of all that it sees.
__host__ __device__ constexpr int weight_rows(bool own, bool back, int places) {
  return !own ? 1 : back ? kRows + places - 1 : kRows;
}

// y of a thread's positions += Σ_w seen · weight. seen: its column of the tile. weight(s, k, r): of position r for row
// s of what it sees, which is place s - r, 0 outside of [0, places); step(s, k) comes before those of row s. k is s mod
// kRun. A product of what no window has is made all the same, with 0.
template <typename C, typename Step, typename Weight>
__device__ void convolve_run(const C* seen, int places, const Step& step, const Weight& weight, C (&y)[kRun]) {
  for (int first = 0; first < kRun + places - 1; first += kRun)
    for (int k = 0; k < kRun; ++k) {
      const int s = first + k;
      step(s, k);
      const C value = s < kRun + places - 1 ? seen[s * kWarp] : C(0);
      for (int r = 0; r < kRun; ++r) y[r] += weight(s, k, r) * value;
    }
}

// kBack: dy takes the place of u, and du that of y; `before` is then that of the reversed window.
template <typename T, bool kOwn, bool kBack>
__global__ void convolve_kernel(const T* u, const T* weights, T* y, Convolution c, Tiles tiles) {
  using C = Compute<T>;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int64_t example = blockIdx.x / tiles.count, row = blockIdx.x % tiles.count * kRows;  // the block's first
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kWarp + lane, width = c.heads * c.head;
  const int64_t head = (column - lane) / c.head;  // the block's first
  const int heads = static_cast<int>(min(column - lane + kWarp - 1, width - 1) / c.head - head) + 1;
  const int own_head = static_cast<int>(min(column, width - 1) / c.head - head), filter = filter_size(tiles.places);
  C* tile = reinterpret_cast<C*>(shared_memory());         // [kRows + places - 1, columns]
  C* filters = tile + (kRows + tiles.places - 1) * kWarp;  // [weight_rows(), heads, filter]
  C sums[kRun] = {};
  for (int64_t done = 0; done < c.window; done += tiles.places) {
    const int places = static_cast<int>(min(c.window - done, static_cast<int64_t>(tiles.places)));
    const int64_t seen = row + done - c.before;  // the tile's first row
    const auto inside = [&](int64_t l) { return l >= 0 && l < c.length; };
    __syncthreads();
    for (int i = warp; i < kRows + places - 1; i += kWarps)
      tile[i * kWarp + lane] =
          inside(seen + i) && column < width ? widened(u[(example * c.length + seen + i) * width + column]) : C(0);
    for (int i = kOwn ? warp : 0; i < weight_rows(kOwn, kBack, places); i += kWarps) {
      const int64_t l = (kBack ? seen : row) + i, from = kOwn ? (example * c.length + l) * c.heads + head : head;
      for (int k = kOwn ? lane : thread; k < heads * places; k += kOwn ? kWarp : kThreads) {
        const int h = k / places, w = k % places;
        const int64_t place = kBack ? c.window - 1 - done - w : done + w;
        filters[(i * tiles.heads + h) * filter + w] =
            !kOwn || inside(l) ? widened(weights[(from + h) * c.window + place]) : C(0);
      }
    }
    __syncthreads();
    const C* own_tile = tile + warp * kRun * kWarp + lane;
    if constexpr (kOwn) {
      const C* own = filters + (warp * kRun * tiles.heads + own_head) * filter;
      const int next = tiles.heads * filter;
      convolve_run(
          own_tile, places, [](int, int) {},
          [&](int s, int, int r) { return s < r || s - r >= places ? C(0) : own[(kBack ? s : r) * next + s - r]; },
          sums);
    } else {
      // The last kRun weights of the window stay in registers: that of place p in slot p mod kRun.
      const C* own = filters + own_head * filter;
      C slots[kRun] = {};
      convolve_run(
          own_tile, places, [&](int s, int k) { slots[k] = s < places ? own[s] : C(0); },
          [&](int, int k, int r) { return slots[(k + kRun - r) % kRun]; }, sums);
    }
  }
  for (int r = 0; r < kRun; ++r) {
    const int64_t l = row + warp * kRun + r;
    if (l < c.length && column < width) y[(example * c.length + l) * width + column] = rounded<T>(sums[r]);
  }
}

// The heads that a warp's width of columns can meet.
int heads_of_block(const Convolution& c) {
  const bool aligned = c.head % kWarp == 0 || kWarp % c.head == 0;
  const int64_t most = aligned ? std::max<int64_t>(kWarp / c.head, 1) : (kWarp - 1) / c.head + 2;
  return static_cast<int>(std::min(c.heads, most));
}

template <typename T, bool kBack>
void convolve(cudaStream_t stream, Convolution c, const T* u, const T* weights, T* y) {
  constexpr int64_t kMostWeights = 8192;  // in shared memory, so that several blocks fit
  if (kBack) c.before = c.window - 1 - c.before;
  Tiles tiles{(c.length + kRows - 1) / kRows, heads_of_block(c), static_cast<int>(std::min<int64_t>(c.window, 64))};
  const auto filters = [&] {
    return int64_t{weight_rows(c.own, kBack, tiles.places)} * tiles.heads * filter_size(tiles.places);
  };
  while (tiles.places > 1 && filters() > kMostWeights) tiles.places /= 2;
  const int64_t elements = (kRows + tiles.places - 1) * kWarp + filters();
  launch(stream,
         {.name = "convolve_kernel",
          .blocks = c.batch * tiles.count,
          .shared_bytes = elements * static_cast<int64_t>(sizeof(Compute<T>)),
          .blocks_y = (c.width() + kWarp - 1) / kWarp},
         c.own ? convolve_kernel<T, true, kBack> : convolve_kernel<T, false, kBack>, u, weights, y, c, tiles);
}

template <typename T>
class WindowKernel : public Kernel {
 public:
  explicit WindowKernel(const KernelCase& c)
      : stream_(c.context.stream), c_(c.in(0), c.in(1), c.as<Window>().before()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    convolve<T, false>(stream_, c_, input<T>(inputs, 0), input<T>(inputs, 1), output<T>(outputs, 0));
  }

 private:
  cudaStream_t stream_;
  Convolution c_;
};

Convolution gradient_case(const KernelCase& c) { return {c.in(0), c.in(1), c.as<WindowGradient>().before()}; }

int64_t gradient_workspace(const KernelCase& c) { return depthwise_weights_workspace(gradient_case(c)); }

template <typename T>
class WindowGradientKernel : public Kernel {
 public:
  explicit WindowGradientKernel(const KernelCase& c) : stream_(c.context.stream), c_(gradient_case(c)) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T *u = input<T>(inputs, 0), *weights = input<T>(inputs, 1), *dy = input<T>(inputs, 2);
    convolve<T, true>(stream_, c_, dy, weights, output<T>(outputs, 0));
    depthwise_weights(stream_, c_, u, dy, output<T>(outputs, 1), workspace);
  }

 private:
  cudaStream_t stream_;
  Convolution c_;
};

}  // namespace

std::span<const KernelEntry> depthwise_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(Window), make_by_output<WindowKernel>, nullptr},
      {&typeid(WindowGradient), make_by_output<WindowGradientKernel>, gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer::cuda
