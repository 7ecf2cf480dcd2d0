// How a reduction walks its tensor, on any device: what is kept, what is reduced, and whether the last dim is one or
// the other.
#pragma once

#include <vector>

#include "core/kernels/geometry.h"
#include "core/ops/reduce.h"

namespace synthesizer {

// `keep` and `over` walk x, or one part of it; x's last dim, of `length` elements side by side, is in neither: it is
// kept (`columns`) or reduced.
struct ReduceWalk {
  ReduceWalk(const Shape& x, const Shape& y, const ReduceParts& of) : parts(of.count) {
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
    outputs = y.elements();
  }

  Walk keep, over;
  bool columns = false;
  int64_t length, outputs;
  int64_t parts = 1, part_offset = 0;  // elements of x from one part to the next
};

}  // namespace synthesizer
