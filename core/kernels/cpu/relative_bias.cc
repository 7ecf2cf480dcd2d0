// T5's relative-position bias. Along a row the bucket changes only a few dozen times: the kernels work on the ranges of
// distances that share a bucket.
#include <algorithm>
#include <vector>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/ops/embedding.h"

namespace synthesizer {
namespace {

// Distances key − query in [begin, end) have the same bucket.
struct Range {
  int64_t begin, end;
  int bucket;
};

std::vector<Range> ranges(const RelativeBiasOptions& o, int64_t buckets) {
  std::vector<Range> found;
  for (int64_t d = 1 - o.length; d < o.memory_length; ++d) {
    const int bucket = relative_bucket(d, buckets, o.max_distance, o.bidirectional);
    CHECK(bucket >= 0 && bucket < buckets, "distance {} is in bucket {} of {}", d, bucket, buckets);
    if (!found.empty() && found.back().bucket == bucket)
      found.back().end = d + 1;
    else
      found.push_back({d, d + 1, bucket});
  }
  return found;
}

// Calls visit(bucket, from, to) for the keys [from, to) of the row of `query`, in order.
template <typename Visit>
void each_run(const std::vector<Range>& ranges, int64_t query, int64_t keys, const Visit& visit) {
  for (const Range& range : ranges) {
    const int64_t from = std::max<int64_t>(range.begin + query, 0), to = std::min(range.end + query, keys);
    if (from < to) visit(range.bucket, from, to);
  }
}

template <typename T>
class RelativeBiasKernel : public Kernel {
 public:
  explicit RelativeBiasKernel(const KernelCase& c)
      : threads_(c.context.threads),
        heads_(c.in(0).dims()[1].size),
        options_(c.as<RelativeBias>().options()),
        ranges_(ranges(options_, c.in(0).dims()[0].size)) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T* table = input<T>(inputs, 0);
    T* y = output<T>(outputs, 0);
    const int64_t keys = options_.memory_length;
    parallel_ranges(threads_, heads_ * options_.length, keys, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        T* out = y + row * keys;
        each_run(ranges_, row % options_.length, keys, [&](int bucket, int64_t from, int64_t to) {
          std::fill(out + from, out + to, table[bucket * heads_ + row / options_.length]);
        });
      }
    });
  }

 private:
  int threads_;
  int64_t heads_;
  RelativeBiasOptions options_;
  std::vector<Range> ranges_;
};

constexpr int64_t kGroups = 16;  // of the queries of a head, each with its own sums

int64_t gradient_workspace(const KernelCase& c) { return c.out(0).elements() * kGroups * 8; }

template <typename T>
class RelativeBiasGradientKernel : public Kernel {
 public:
  explicit RelativeBiasGradientKernel(const KernelCase& c)
      : threads_(c.context.threads),
        heads_(c.out(0).dims()[1].size),
        buckets_(c.out(0).dims()[0].size),
        options_(c.as<RelativeBiasGradient>().options()),
        ranges_(ranges(options_, buckets_)),
        sum_(c.context.loops.of<T>().sum) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T* dy = input<T>(inputs, 0);
    T* dtable = output<T>(outputs, 0);
    double* sums = static_cast<double*>(workspace);  // [head, group, bucket]
    const int64_t keys = options_.memory_length, queries = options_.length;
    parallel_ranges(threads_, heads_ * kGroups, queries * keys / kGroups, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        double* of_item = sums + item * buckets_;
        std::fill_n(of_item, buckets_, 0.0);
        const int64_t head = item / kGroups, group = item % kGroups;
        for (int64_t i = queries * group / kGroups; i < queries * (group + 1) / kGroups; ++i) {
          const T* row = dy + (head * queries + i) * keys;
          each_run(ranges_, i, keys,
                   [&](int bucket, int64_t from, int64_t to) { of_item[bucket] += sum_(row + from, to - from); });
        }
      }
    });
    for (int64_t head = 0; head < heads_; ++head) {
      for (int64_t bucket = 0; bucket < buckets_; ++bucket) {
        double sum = 0;
        for (int64_t group = 0; group < kGroups; ++group) sum += sums[(head * kGroups + group) * buckets_ + bucket];
        dtable[bucket * heads_ + head] = static_cast<T>(sum);
      }
    }
  }

 private:
  int threads_;
  int64_t heads_, buckets_;
  RelativeBiasOptions options_;
  std::vector<Range> ranges_;
  decltype(Loops<T>::sum) sum_;
};

}  // namespace

std::span<const KernelEntry> relative_bias_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(RelativeBias), make_floating<RelativeBiasKernel>, nullptr},
      {&typeid(RelativeBiasGradient), make_floating<RelativeBiasGradientKernel>, gradient_workspace}};
  return kEntries;
}

}  // namespace synthesizer
