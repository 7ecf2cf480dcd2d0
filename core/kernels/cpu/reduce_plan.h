// How a reduction is cut: into runs or columns, and these into groups. It depends on the shape alone, so whoever sums
// by the same plan gets the same bits.
#pragma once

#include <algorithm>
#include <vector>

#include "core/kernels/geometry.h"
#include "core/ops/reduce.h"

namespace synthesizer {

// `keep` and `over` walk x, or one part of it; x's last dim is either reduced (by runs) or kept (by columns).
struct ReducePlan {
  static constexpr int64_t kRun = 4096;       // elements reduced by one call of a loop
  static constexpr int64_t kColumns = 512;    // columns of sums on the stack
  static constexpr int64_t kEnoughWork = 64;  // pieces of work that any number of threads is content with

  ReducePlan(const Shape& x, const Shape& y, const ReduceParts& of) : parts(of.count) {
    std::vector<Dim> kept, reduced;
    int apart = -1;
    for (const Dim& dim : x.dims()) {
      if (y.has(dim.name)) {
        kept.push_back(dim);
      } else if (dim.name == of.dim) {
        apart = static_cast<int>(reduced.size());
        reduced.push_back({dim.name, dim.size / parts});
        part_offset = dim.size / parts * stride_of(x, dim.name);
      } else {
        reduced.push_back(dim);
      }
    }
    const Shape* shapes[1] = {&x};
    keep = Walk(kept, shapes);
    over = Walk(reduced, shapes);
    // What parts are cut into must not depend on how many of them lie in one tensor.
    if (apart < 0) keep.merge();
    over.merge(apart);
    columns = keep.rank > 0 && (over.rank == 0 || keep.stride[0][keep.rank - 1] == 1);
    int64_t ignored[Walk::kTensors];
    length = columns ? keep.take_last(ignored) : over.take_last(ignored);
    const int64_t run = columns ? kColumns : kRun;
    runs = (length + run - 1) / run;
    pieces = over.count() * (columns ? 1 : runs);
    const int64_t work = keep.count() * (columns ? runs : 1);
    groups = work >= kEnoughWork ? 1 : std::min<int64_t>(pieces, kEnoughWork);
    outputs = y.elements();
  }

  // The pieces of a group are [first_of(group), first_of(group + 1)).
  int64_t first_of(int64_t group) const { return pieces * group / groups; }

  Walk keep, over;
  bool columns = false;
  int64_t length, runs, pieces, groups, outputs;
  int64_t parts = 1, part_offset = 0;  // elements of x from one part to the next
};

}  // namespace synthesizer
