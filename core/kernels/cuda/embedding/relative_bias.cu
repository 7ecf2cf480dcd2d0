// T5's relative-position bias: it depends on key − query alone, so both kernels go by that distance, of which there are
// length + memory_length − 1, and only one small launch more knows buckets.
#include <algorithm>
#include <type_traits>
#include <vector>

#include "core/kernels/cuda/device/units.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/embedding.h"

namespace synthesizer::cuda {
namespace {

// Distances [begin, end) have the same bucket; they count from 1 − length.
struct Range {
  int32_t begin, end, bucket;
};
// Ranges as an argument of a kernel: buckets are made of logarithms, which differ between devices, so they come from
// the host.
struct Ranges {
  static constexpr int kMost = 256;
  int32_t count;
  Range at[kMost];
};

std::vector<Ranges> ranges(const RelativeBiasOptions& o, int64_t buckets) {
  std::vector<Range> found;
  for (int64_t i = 0; i < o.length + o.memory_length - 1; ++i) {
    const int bucket = relative_bucket(i + 1 - o.length, buckets, o.max_distance, o.bidirectional);
    CHECK(bucket >= 0 && bucket < buckets, "distance {} is in bucket {} of {}", i + 1 - o.length, bucket, buckets);
    const auto at = static_cast<int32_t>(i);
    if (!found.empty() && found.back().bucket == bucket)
      found.back().end = at + 1;
    else
      found.push_back({at, at + 1, bucket});
  }
  std::vector<Ranges> parts;
  for (size_t i = 0; i < found.size(); i += Ranges::kMost) {
    parts.push_back({static_cast<int32_t>(std::min<size_t>(found.size() - i, Ranges::kMost)), {}});
    std::copy_n(found.begin() + static_cast<int64_t>(i), parts.back().count, parts.back().at);
  }
  return parts;
}

// by_distance [heads, distances] of the ranges' distances; a block's y is a head.
template <typename T>
__global__ void bias_by_distance_kernel(const T* table, T* by_distance, Ranges ranges, int64_t distances) {
  const int64_t head = blockIdx.y, heads = gridDim.y;
  const int64_t end = ranges.at[ranges.count - 1].end;
  for (int64_t i = ranges.at[0].begin + thread_of_grid(); i < end; i += threads_of_grid()) {
    int low = 0, high = ranges.count - 1;  // the first range that ends behind i
    while (low < high) {
      const int middle = (low + high) / 2;
      if (ranges.at[middle].end <= i)
        low = middle + 1;
      else
        high = middle;
    }
    by_distance[head * distances + i] = table[ranges.at[low].bucket * heads + head];
  }
}

// y [heads, length, keys] in packs; reads hit the cache, which by_distance fits.
template <typename T, int kPacked>
__global__ void relative_bias_kernel(const T* by_distance, T* y, int64_t heads, int64_t length, int64_t keys) {
  const int64_t width = keys / kPacked, distances = length + keys - 1;
  for (int64_t i = thread_of_grid(); i < heads * length * width; i += threads_of_grid()) {
    const RowColumn at = row_and_column(i, width), row = row_and_column(at.row, length);
    const T* from = by_distance + row.row * distances + at.column * kPacked - row.column + length - 1;
    Pack<T, kPacked> made;
    for (int k = 0; k < kPacked; ++k) made.at[k] = from[k];
    reinterpret_cast<Pack<T, kPacked>*>(y)[i] = made;
  }
}

int64_t bias_workspace(const KernelCase& c) {
  const RelativeBiasOptions& o = c.as<RelativeBias>().options();
  return c.in(0).dims()[1].size * (o.length + o.memory_length - 1) * size_of(c.outputs[0].dtype);
}

template <typename T>
class RelativeBiasKernel : public Kernel {
 public:
  explicit RelativeBiasKernel(const KernelCase& c)
      : stream_(c.context.stream),
        heads_(c.in(0).dims()[1].size),
        options_(c.as<RelativeBias>().options()),
        ranges_(ranges(options_, c.in(0).dims()[0].size)) {
    const bool packed = options_.memory_length % kPack<T> == 0;
    kernel_ = packed ? relative_bias_kernel<T, kPack<T>> : relative_bias_kernel<T, 1>;
    packs_ = heads_ * options_.length * options_.memory_length / (packed ? kPack<T> : 1);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const int64_t distances = options_.length + options_.memory_length - 1;
    T* by_distance = static_cast<T*>(workspace);
    for (const Ranges& part : ranges_)
      launch(stream_, {.name = "bias_by_distance_kernel", .blocks = blocks_for(distances), .blocks_y = heads_},
             bias_by_distance_kernel<T>, input<T>(inputs, 0), by_distance, part, distances);
    launch(stream_, {"relative_bias_kernel", blocks_for(packs_)}, kernel_, by_distance, output<T>(outputs, 0), heads_,
           options_.length, options_.memory_length);
  }

 private:
  cudaStream_t stream_;
  int64_t heads_, packs_;
  RelativeBiasOptions options_;
  std::vector<Ranges> ranges_;
  void (*kernel_)(const T*, T*, int64_t, int64_t, int64_t) = nullptr;
};

constexpr int64_t kGroups = 16;  // of the queries of a head, each with its own sums

// sums [heads, groups, distances]: down the queries of a group along a diagonal, so that neighbours read neighbours.
template <typename T>
__global__ void bias_diagonals_kernel(const T* dy, double* sums, int64_t length, int64_t keys) {
  const int64_t distances = length + keys - 1, head = blockIdx.z, group = blockIdx.y;
  const int64_t first = length * group / kGroups, last = length * (group + 1) / kGroups;
  for (int64_t d = thread_of_grid(); d < distances; d += threads_of_grid()) {
    const int64_t shift = d - (length - 1);  // key − query
    const int64_t begin = max(first, -shift), end = min(last, keys - shift);
    double sum = 0;
    for (int64_t i = begin; i < end; ++i) sum += static_cast<double>(dy[(head * length + i) * keys + i + shift]);
    sums[(head * kGroups + group) * distances + d] = sum;
  }
}

// A block a range (x) and head (y).
template <typename T>
__global__ void bias_buckets_kernel(const double* sums, T* dtable, Ranges ranges, int64_t distances) {
  const int64_t head = blockIdx.y, heads = gridDim.y;
  const Range range = ranges.at[blockIdx.x];
  double sum = 0;
  for (int64_t group = 0; group < kGroups; ++group)
    for (int64_t d = range.begin + static_cast<int64_t>(threadIdx.x); d < range.end; d += blockDim.x)
      sum += sums[(head * kGroups + group) * distances + d];
  sum = block_reduce<Sum>(sum, 0.0, reinterpret_cast<double*>(shared_memory()));
  if (threadIdx.x == 0) dtable[range.bucket * heads + head] = static_cast<T>(sum);
}

int64_t gradient_workspace(const KernelCase& c) {
  const RelativeBiasOptions& o = c.as<RelativeBiasGradient>().options();
  return c.out(0).dims()[1].size * kGroups * (o.length + o.memory_length - 1) * 8;
}

template <typename T>
class RelativeBiasGradientKernel : public Kernel {
 public:
  explicit RelativeBiasGradientKernel(const KernelCase& c)
      : stream_(c.context.stream),
        heads_(c.out(0).dims()[1].size),
        bytes_(c.outputs[0].bytes()),
        options_(c.as<RelativeBiasGradient>().options()),
        ranges_(ranges(options_, c.out(0).dims()[0].size)) {
    std::vector<int> seen;
    for (const Ranges& part : ranges_)
      for (int i = 0; i < part.count; ++i) seen.push_back(part.at[i].bucket);
    std::sort(seen.begin(), seen.end());
    CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end(), "a bucket's distances are not neighbours");
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    auto* sums = static_cast<double*>(workspace);
    const int64_t length = options_.length, keys = options_.memory_length, distances = length + keys - 1;
    check(cudaMemsetAsync(outputs[0], 0, static_cast<size_t>(bytes_), stream_), "clearing buckets");  // some have none
    launch(stream_,
           {.name = "bias_diagonals_kernel",
            .blocks = blocks_for(distances, kDiagonals),
            .threads = kDiagonals,
            .blocks_y = kGroups,
            .blocks_z = heads_},
           bias_diagonals_kernel<T>, input<T>(inputs, 0), sums, length, keys);
    for (const Ranges& part : ranges_)
      launch(stream_,
             {.name = "bias_buckets_kernel", .blocks = part.count, .shared_bytes = 8 * kWarp, .blocks_y = heads_},
             bias_buckets_kernel<T>, sums, output<T>(outputs, 0), part, distances);
  }

 private:
  static constexpr int kDiagonals = 128;
  cudaStream_t stream_;
  int64_t heads_, bytes_;
  RelativeBiasOptions options_;
  std::vector<Ranges> ranges_;
};

}  // namespace

std::span<const KernelEntry> relative_bias_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(RelativeBias), make_floating<RelativeBiasKernel>, bias_workspace},
      {&typeid(RelativeBiasGradient), make_floating<RelativeBiasGradientKernel>, gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer::cuda
