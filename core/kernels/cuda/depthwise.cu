// Depthwise convolution, and the gradient of what it sees, which is the same convolution with the windows reversed.
#include <algorithm>

#include "core/kernels/cuda/depthwise.h"
#include "core/kernels/cuda/device_code.h"
#include "core/kernels/cuda/launch.h"
#include "core/ops/window.h"

namespace synthesizer::cuda {
namespace {

// A block has kRows positions of one example and a warp's width of columns; a thread kRun positions, one below the
// other, of one column. What they see lies in shared memory, kPlaces of a long window at a time.
constexpr int kRun = 8;
constexpr int kWarps = kThreads / kWarp;
constexpr int kRows = kWarps * kRun;
constexpr int kPlaces = 64;
constexpr int kFilter = kPlaces + 1;  // from a head's weights to the next one's: odd, for the banks

// y of a thread's positions += Σ_w seen · weight. seen: its column of the tile. weight(s, r): of position r for row s
// of what it sees, place s - r, 0 outside of [0, places); step(s) comes before those of row s. A product of what no
// window has is made all the same, with 0.
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
__global__ void convolve_kernel(const T* u, const T* weights, T* y, Convolution c, int64_t tiles) {
  using C = Compute<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t example = blockIdx.x / tiles, row = blockIdx.x % tiles * kRows;  // the block's first
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kWarp + lane, width = c.heads * c.head;
  const int64_t first_head = (column - lane) / c.head, last_head = min(column - lane + kWarp - 1, width - 1) / c.head;
  const int64_t head = min(column, width - 1) / c.head;
  C* tile = reinterpret_cast<C*>(shared_memory());                            // [kRows + places - 1, columns]
  C* filters = tile + (kRows + min(c.window, int64_t{kPlaces}) - 1) * kWarp;  // [heads, kFilter]
  const auto place = [&](int64_t w) { return kBack ? c.window - 1 - w : w; };
  C sums[kRun] = {};
  for (int64_t done = 0; done < c.window; done += kPlaces) {
    const int places = static_cast<int>(min(c.window - done, int64_t{kPlaces}));
    const int64_t seen = row + done - c.before;  // the tile's first row
    __syncthreads();
    for (int i = warp; i < kRows + places - 1; i += kWarps) {
      const bool inside = seen + i >= 0 && seen + i < c.length && column < width;
      tile[i * kWarp + lane] = inside ? widened(u[(example * c.length + seen + i) * width + column]) : C(0);
    }
    if constexpr (!kOwn)
      for (int64_t h = first_head + warp; h <= last_head; h += kWarps)
        for (int w = lane; w < places; w += kWarp)
          filters[(h - first_head) * kFilter + w] = widened(weights[h * c.window + place(done + w)]);
    __syncthreads();
    const C* own_tile = tile + warp * kRun * kWarp + lane;
    if constexpr (kOwn) {
      // Read where they lie: neighbours in a head share them, and a row's are used again at the next step.
      const int64_t own_row = row + warp * kRun;
      const auto weight = [&](int s, int, int r) {
        const int64_t l = kBack ? seen + warp * kRun + s : own_row + r;
        if (s < r || s - r >= places || l < 0 || l >= c.length) return C(0);
        return widened(weights[((example * c.length + l) * c.heads + head) * c.window + place(done + s - r)]);
      };
      convolve_run(
          own_tile, places, [](int, int) {}, weight, sums);
    } else {
      // The last kRun weights of the window stay in registers: that of place p in slot p mod kRun.
      const C* filter = filters + (head - first_head) * kFilter;
      C slots[kRun] = {};
      convolve_run(
          own_tile, places, [&](int s, int k) { slots[k] = s < places ? filter[s] : C(0); },
          [&](int, int k, int r) { return slots[(k + kRun - r) % kRun]; }, sums);
    }
  }
  for (int r = 0; r < kRun; ++r) {
    const int64_t l = row + warp * kRun + r;
    if (l < c.length && column < width) y[(example * c.length + l) * width + column] = rounded<T>(sums[r]);
  }
}

template <typename T, bool kBack>
void convolve(cudaStream_t stream, Convolution c, const T* u, const T* weights, T* y) {
  if (kBack) c.before = c.window - 1 - c.before;
  const int64_t tiles = (c.length + kRows - 1) / kRows;
  const int64_t heads = c.own ? 0 : std::min<int64_t>({c.heads, kWarp, (kWarp - 1) / c.head + 2});
  const int64_t rows = kRows + std::min<int64_t>(c.window, kPlaces) - 1;
  launch(stream,
         {.name = "convolve_kernel",
          .blocks = c.batch * tiles,
          .shared_bytes = (rows * kWarp + heads * kFilter) * static_cast<int64_t>(sizeof(Compute<T>)),
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
