// Slicing and assembling: a whole tensor cut into boxes, each in memory of its own, and put together again.
#include "core/checkpoint/slice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

namespace synthesizer {
namespace {

int64_t product(const std::vector<int64_t>& sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
}

// Where each dim is cut: 0, …, its size, in order; pieces may be empty.
std::vector<int64_t> random_cuts(int64_t size, std::mt19937_64& random) {
  std::vector<int64_t> cuts = {0, size};
  for (auto more = random() % 4; more > 0; --more)
    cuts.push_back(static_cast<int64_t>(random() % static_cast<uint64_t>(size + 1)));
  std::sort(cuts.begin(), cuts.end());
  return cuts;
}

// The boxes of all combinations of pieces.
std::vector<TensorBox> random_boxes(const std::vector<int64_t>& shape, std::mt19937_64& random) {
  std::vector<TensorBox> boxes = {TensorBox::whole("tensor", DType::kInt32, shape)};
  for (size_t dim = 0; dim < shape.size(); ++dim) {
    const std::vector<int64_t> cuts = random_cuts(shape[dim], random);
    std::vector<TensorBox> finer;
    for (const TensorBox& box : boxes)
      for (size_t i = 0; i + 1 < cuts.size(); ++i) {
        finer.push_back(box);
        finer.back().begin[dim] = cuts[i];
        finer.back().end[dim] = cuts[i + 1];
      }
    boxes = std::move(finer);
  }
  return boxes;
}

// The shape of the box's memory, sometimes larger than the box.
std::vector<int64_t> random_buffer(TensorBox& box, std::mt19937_64& random) {
  std::vector<int64_t> sizes;
  for (size_t dim = 0; dim < box.begin.size(); ++dim) sizes.push_back(box.end[dim] - box.begin[dim]);
  if (random() % 3 != 0 || sizes.empty()) return sizes;
  for (int64_t& size : sizes) size += static_cast<int64_t>(random() % 3);
  return box.buffer_shape = sizes;
}

TEST(Slice, TenThousandTensorsAreCutAndPutTogether) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 10'000; ++i) {
    std::vector<int64_t> shape(random() % 5);
    for (int64_t& size : shape) size = static_cast<int64_t>(1 + random() % 7);
    std::vector<int32_t> whole(static_cast<size_t>(product(shape)));
    std::iota(whole.begin(), whole.end(), 1);
    std::vector<int32_t> together(whole.size(), 0);
    int64_t elements = 0;
    for (TensorBox& box : random_boxes(shape, random)) {
      std::vector<int32_t> own(static_cast<size_t>(product(random_buffer(box, random))), -1);
      box.check();
      int64_t last = -1, count = 0;
      for_each_run(box, [&](int64_t at, int64_t in_buffer, int64_t n) {  // cut out
        ASSERT_GT(at, last) << "runs are not in the whole's order";
        last = at + n - 1;
        count += n;
        for (int64_t e = 0; e < n; ++e) own[static_cast<size_t>(in_buffer + e)] = whole[static_cast<size_t>(at + e)];
      });
      ASSERT_EQ(count, box.elements());
      elements += count;
      for_each_run(box, [&](int64_t at, int64_t in_buffer, int64_t n) {  // put back
        for (int64_t e = 0; e < n; ++e) {
          ASSERT_EQ(together[static_cast<size_t>(at + e)], 0) << "an element is in two boxes";
          together[static_cast<size_t>(at + e)] = own[static_cast<size_t>(in_buffer + e)];
        }
      });
    }
    ASSERT_EQ(elements, product(shape));
    ASSERT_EQ(together, whole) << "case " << i;
  }
}

// By hand: rows 1 and 2, columns 2 to 4 of a 4 × 5 tensor, in memory of 3 × 4.
TEST(Slice, RunsAreThoseOfBoth) {
  TensorBox box = TensorBox::whole("tensor", DType::kFloat32, {4, 5});
  box.begin = {1, 2};
  box.end = {3, 5};
  box.buffer_shape = {3, 4};
  std::vector<std::vector<int64_t>> runs;
  for_each_run(box, [&](int64_t at, int64_t in_buffer, int64_t n) { runs.push_back({at, in_buffer, n}); });
  EXPECT_EQ(runs, (std::vector<std::vector<int64_t>>{{7, 0, 3}, {12, 4, 3}}));
}

}  // namespace
}  // namespace synthesizer
