// The order of a reduction's sums on the device. It depends on the shape alone, so whoever adds by the same plan gets
// the same bits: a Reduce of its own and the sums of chains.
//
// In double, throughout. Where the last dim is reduced, a run of it is cut into tiles of 128 elements: a tile's four
// elements that lie side by side are added by one lane, then the lanes in a tree; tiles one after the other, in groups
// of them (where there are few sums) that are combined at last. Where it is kept, each column is added down by one
// lane, in groups of rows that are combined in the same way.
#pragma once

#include <algorithm>
#include <bit>

#include "core/kernels/cuda/device/walk.h"
#include "core/kernels/reduce_walk.h"

namespace synthesizer::cuda {

inline constexpr int kFour = 4;              // elements that one lane takes of a tile
inline constexpr int kTile = kWarp * kFour;  // elements

// How many lanes what is side by side needs; the others of the warp take other rows (or groups).
inline int lanes_for(int64_t length) {
  if (length >= kTile) return kWarp;
  return static_cast<int>(std::bit_ceil(static_cast<uint64_t>((length + kFour - 1) / kFour)));
}

// Passed to kernels.
struct ReducePlan {
  static constexpr int64_t kEnoughWarps = 132 * 16;             // that keep the largest device busy
  static constexpr int64_t kFewestTiles = 8, kFewestRows = 16;  // of a group

  ReducePlan() = default;
  explicit ReducePlan(const ReduceWalk& of)
      : keep(of.keep), over(of.over), places(of.keep.count()), length(of.length), outputs(of.outputs) {
    columns = of.columns;
    tiles = (length + kTile - 1) / kTile;
    lanes = lanes_for(length);
    const int64_t side_by_side = kWarp / lanes;
    pieces = of.over.count() * (columns ? 1 : tiles);
    const int64_t work = columns ? places * tiles : (places + side_by_side - 1) / side_by_side;
    const int64_t fewest = columns ? kFewestRows : kFewestTiles;
    const int64_t wanted = kEnoughWarps / work * (columns ? side_by_side : 1);
    groups = std::clamp<int64_t>(std::min(wanted, pieces / fewest), 1, kEnoughWarps);
    // Of warps: a warp has several short rows, or several groups of narrow columns.
    items = columns ? places * tiles * ((groups + side_by_side - 1) / side_by_side) : work * groups;
  }

  // The pieces (tiles of what is reduced, or rows of it) of a group are [first_of(group), first_of(group + 1)).
  __host__ __device__ int64_t first_of(int64_t group) const { return pieces * group / groups; }

  DeviceWalk<1> keep, over;
  int64_t places = 1, length = 1, tiles = 1, pieces = 1, groups = 1, outputs = 1, items = 1;
  int lanes = kWarp;
  bool columns = false;
};

}  // namespace synthesizer::cuda
