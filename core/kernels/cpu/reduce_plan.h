// How a reduction is cut: into runs or columns, and these into groups. It depends on the shape alone, so whoever sums
// by the same plan gets the same bits.
#pragma once

#include <algorithm>

#include "core/kernels/reduce_walk.h"

namespace synthesizer {

// x's last dim is either reduced (by runs) or kept (by columns).
struct ReducePlan : ReduceWalk {
  static constexpr int64_t kRun = 4096;       // elements reduced by one call of a loop
  static constexpr int64_t kColumns = 512;    // columns of sums on the stack
  static constexpr int64_t kEnoughWork = 64;  // pieces of work that any number of threads is content with

  ReducePlan(const Shape& x, const Shape& y, const ReduceParts& of) : ReduceWalk(x, y, of) {
    const int64_t run = columns ? kColumns : kRun;
    runs = (length + run - 1) / run;
    pieces = over.count() * (columns ? 1 : runs);
    const int64_t work = keep.count() * (columns ? runs : 1);
    groups = work >= kEnoughWork ? 1 : std::min<int64_t>(pieces, kEnoughWork);
  }

  // The pieces of a group are [first_of(group), first_of(group + 1)).
  int64_t first_of(int64_t group) const { return pieces * group / groups; }

  int64_t runs, pieces, groups;
};

}  // namespace synthesizer
