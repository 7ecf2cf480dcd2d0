// Sums over all examples that groups of examples have parts of, each a head's: a group adds its examples in order, and
// the groups are added in order at the end, so that the bits depend on the shape alone. The first group's part is the
// output itself, the others' are in workspace.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "core/kernels/cpu/attention/blocks.h"
#include "core/kernels/cpu/parallel.h"

namespace synthesizer {

template <typename T>
class GroupSums {
 public:
  // Where the sums are.
  struct Memory {
    std::span<void* const> outputs;
    std::byte* others;  // bytes()
  };

  GroupSums(int64_t groups, int64_t heads) : groups_(groups), heads_(heads) {}

  // A sum of so many elements a head, to this output. Of 0 elements it keeps its number, and at() is not asked for it.
  void add(size_t output, int64_t per_head) {
    sums_.push_back({output, per_head, carver_.used()});
    carver_.take<T>((groups_ - 1) * heads_ * per_head);
  }
  int64_t bytes() const { return carver_.used(); }

  T* at(size_t sum, const Memory& memory, int64_t group, int64_t h) const {
    const Sum& s = sums_[sum];
    T* const others = reinterpret_cast<T*>(memory.others + s.others);
    const int64_t size = heads_ * s.per_head;
    return (group == 0 ? output<T>(memory.outputs, s.output) : others + (group - 1) * size) + h * s.per_head;
  }
  void clear(const Memory& memory, int64_t group, int64_t h) const {
    for (size_t sum = 0; sum < sums_.size(); ++sum)
      if (sums_[sum].per_head > 0) std::fill_n(at(sum, memory, group, h), sums_[sum].per_head, T(0));
  }
  void finish(const Memory& memory, int threads, const Loops<T>& loops) const {
    for (size_t sum = 0; sum < sums_.size(); ++sum) {
      if (sums_[sum].per_head == 0) continue;
      parallel_ranges(threads, heads_ * sums_[sum].per_head, groups_, [&](int64_t begin, int64_t end) {
        for (int64_t group = 1; group < groups_; ++group)
          loops.axpy(T(1), at(sum, memory, group, 0) + begin, at(sum, memory, 0, 0) + begin, end - begin);
      });
    }
  }

 private:
  struct Sum {
    size_t output;
    int64_t per_head;
    int64_t others;  // bytes before those of the second group
  };
  int64_t groups_, heads_;
  std::vector<Sum> sums_;
  Carver carver_{nullptr};
};

}  // namespace synthesizer
