// Rows of a table by id, and their gradient: each row adds up the positions of its id one after the other, so the order
// of the additions is that of the positions, whatever the threads.
#include "core/kernels/cuda/device/units.h"
#include "core/kernels/cuda/embedding/position_lists.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/embedding.h"

namespace synthesizer::cuda {
namespace {

// y in packs; `width` in packs.
template <typename T, int kPacked>
__global__ void embedding_kernel(const Compute<T>* table, const int32_t* ids, T* y, int64_t positions, int64_t width,
                                 int64_t first_row, int64_t rows) {
  for (int64_t i = thread_of_grid(); i < positions * width; i += threads_of_grid()) {
    const RowColumn at = row_and_column(i, width);
    const int64_t row = ids[at.row] - first_row;
    Pack<T, kPacked> made{};
    if (row >= 0 && row < rows) {
      const auto from = reinterpret_cast<const Pack<Compute<T>, kPacked>*>(table)[row * width + at.column];
      for (int k = 0; k < kPacked; ++k) made.at[k] = rounded<T>(from.at[k]);
    }
    reinterpret_cast<Pack<T, kPacked>*>(y)[i] = made;
  }
}

// Rows of a table of Compute<T> as T.
template <typename T>
class EmbeddingKernel : public Kernel {
 public:
  explicit EmbeddingKernel(const KernelCase& c)
      : stream_(c.context.stream),
        first_row_(c.as<Embedding>().first_row()),
        rows_(c.in(0).dims()[0].size),
        width_(c.in(0).elements() / rows_),
        ids_(c.in(1).elements()) {
    const bool packed = width_ % kPack<T> == 0;
    if (packed) width_ /= kPack<T>;
    kernel_ = packed ? embedding_kernel<T, kPack<T>> : embedding_kernel<T, 1>;
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    launch(stream_, {"embedding_kernel", blocks_for(ids_ * width_)}, kernel_, input<Compute<T>>(inputs, 0),
           input<int32_t>(inputs, 1), output<T>(outputs, 0), ids_, width_, first_row_, rows_);
  }

 private:
  cudaStream_t stream_;
  int64_t first_row_, rows_, width_, ids_;
  void (*kernel_)(const Compute<T>*, const int32_t*, T*, int64_t, int64_t, int64_t, int64_t) = nullptr;
};

constexpr int kAhead = 16;  // rows of dy that are asked for before the first of them is added

// A warp has kPacked columns a lane of one row of the table: columns share out what an id that is everywhere has to add
// up. The first warps have the first rows, where tokenizers have such ids.
template <typename T, int kPacked>
__global__ void embedding_gradient_kernel(PositionLists lists, const T* dy, const Compute<T>* base, Compute<T>* table,
                                          int64_t rows, int64_t width, int64_t chunks) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const RowColumn at = row_and_column(thread_of_grid() / kWarp, chunks);
  if (at.row >= rows) return;  // all lanes
  const int32_t begin = lists.begin[at.row], end = lists.begin[at.row + 1];
  if (begin == end && base == table) return;
  const int64_t column = (at.column * kWarp + lane) * kPacked;
  const bool inside = column < width;
  auto* to = reinterpret_cast<Pack<Compute<T>, kPacked>*>(table + at.row * width + column);
  Pack<Compute<T>, kPacked> sum{};
  if (inside && base != nullptr)
    sum = *reinterpret_cast<const Pack<Compute<T>, kPacked>*>(base + at.row * width + column);
  for (int32_t done = begin; done < end; done += kWarp) {
    const int count = min(end - done, kWarp);
    const int32_t own = lane < count ? lists.positions[done + lane] : 0;
    for (int j = 0; j < count; j += kAhead) {
      Pack<T, kPacked> seen[kAhead];
      for (int k = 0; k < kAhead; ++k) {
        const int32_t position = __shfl_sync(kAllLanes, own, j + k);
        if (inside && j + k < count)
          seen[k] = *reinterpret_cast<const Pack<T, kPacked>*>(dy + position * width + column);
      }
      for (int k = 0; k < kAhead; ++k)
        if (j + k < count)
          for (int p = 0; p < kPacked; ++p) sum.at[p] += widened(seen[k].at[p]);
    }
  }
  if (inside) *to = sum;
}

RowsById rows_by_id(const KernelCase& c) {
  const int64_t ids = c.in(0).elements(), rows = c.out(0).dims()[0].size;
  return {.positions = ids, .first = c.as<EmbeddingGradient>().first_row(), .size = rows, .group = ids, .rows = rows};
}

int64_t gradient_workspace(const KernelCase& c) { return PositionSort(rows_by_id(c)).workspace(); }

// dy of T, the table of Compute<T>.
template <typename T>
class EmbeddingGradientKernel : public Kernel {
 public:
  explicit EmbeddingGradientKernel(const KernelCase& c)
      : stream_(c.context.stream),
        sort_(rows_by_id(c)),
        has_base_(c.as<EmbeddingGradient>().has_base()),
        rows_(c.out(0).dims()[0].size),
        width_(c.out(0).elements() / rows_) {
    // 8 bytes a lane: wide enough for the memory, narrow enough that a row is for several warps.
    constexpr int kPacked = 8 / sizeof(T);
    const bool packed = width_ % kPacked == 0;
    kernel_ = packed ? embedding_gradient_kernel<T, kPacked> : embedding_gradient_kernel<T, 1>;
    const int64_t columns = kWarp * (packed ? kPacked : 1);
    chunks_ = (width_ + columns - 1) / columns;
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const PositionLists lists = sort_.run(stream_, input<int32_t>(inputs, 0), workspace);
    const auto* base = has_base_ ? input<Compute<T>>(inputs, 2) : nullptr;
    constexpr int64_t kWarps = kThreads / kWarp;
    launch(stream_, {"embedding_gradient_kernel", (rows_ * chunks_ + kWarps - 1) / kWarps}, kernel_, lists,
           input<T>(inputs, 1), base, output<Compute<T>>(outputs, 0), rows_, width_, chunks_);
  }

 private:
  cudaStream_t stream_;
  PositionSort sort_;
  bool has_base_;
  int64_t rows_, width_, chunks_;
  void (*kernel_)(PositionLists, const T*, const Compute<T>*, Compute<T>*, int64_t, int64_t, int64_t) = nullptr;
};

}  // namespace

std::span<const KernelEntry> embedding_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(Embedding), make_by_output<EmbeddingKernel>, nullptr},
      {&typeid(EmbeddingGradient), (make_by_input<EmbeddingGradientKernel, 1>), gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer::cuda
