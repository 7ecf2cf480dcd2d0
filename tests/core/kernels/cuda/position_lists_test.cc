// Positions by row against a plain loop: several tiles, several passes, ids that name no row, every order of threads.
#include "core/kernels/cuda/embedding/position_lists.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "core/kernels/cuda/runtime/cuda_device.h"
#include "core/tensor/storage.h"
#include "tests/support/test_kernels.h"

namespace synthesizer::cuda {
namespace {

std::vector<std::vector<int32_t>> expected(const RowsById& by, const std::vector<int32_t>& ids) {
  std::vector<std::vector<int32_t>> lists(static_cast<size_t>(by.rows));
  for (int64_t i = 0; i < by.positions; ++i) {
    const int64_t id = ids[static_cast<size_t>(i)] - by.first;
    if (id < 0 || id >= by.size) continue;
    lists[static_cast<size_t>(i / by.group * by.rows_apart + id)].push_back(static_cast<int32_t>(i));
  }
  return lists;
}

template <typename E>
std::vector<E> download(CudaDevice& device, const E* from, int64_t count) {
  std::vector<E> host(static_cast<size_t>(count));
  device.download(host.data(), from, count * static_cast<int64_t>(sizeof(E)));
  return host;
}

std::vector<std::vector<int32_t>> sorted(const RowsById& by, const std::vector<int32_t>& ids) {
  CudaDevice device(0);
  const PositionSort sort(by);
  const Storage on_device(by.positions * 4, &device), workspace(sort.workspace(), &device);
  device.upload(on_device.data(), ids.data(), by.positions * 4);
  const std::vector<unsigned char> garbage(static_cast<size_t>(sort.workspace()), 0xFF);
  device.upload(workspace.data(), garbage.data(), sort.workspace());
  const PositionLists lists =
      sort.run(device.stream(), reinterpret_cast<const int32_t*>(on_device.data()), workspace.data());
  const std::vector<int32_t> positions = download(device, lists.positions, by.positions);
  const std::vector<int32_t> begin = download(device, lists.begin, by.rows + 1);
  std::vector<std::vector<int32_t>> rows;
  for (size_t r = 0; r + 1 < begin.size(); ++r)
    rows.emplace_back(positions.begin() + begin[r], positions.begin() + begin[r + 1]);
  return rows;
}

void check(const RowsById& by, const std::vector<int32_t>& ids) {
  for (const KernelVariant& variant : kernel_variants()) {
    const std::unique_ptr<KernelTable> kernels = variant.make();
    EXPECT_EQ(sorted(by, ids), expected(by, ids))
        << variant.name << ": " << by.positions << " positions, " << by.rows << " rows";
  }
}

// A third of one id, the others at random, some outside on both sides.
std::vector<int32_t> some_ids(int64_t count, int64_t first, int64_t size) {
  std::mt19937 random(static_cast<uint32_t>(count + size));
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    const auto any = static_cast<int64_t>(random() % static_cast<uint64_t>(size + 2)) - 1;
    ids.push_back(static_cast<int32_t>(first + (random() % 3 == 0 ? size / 2 : any)));
  }
  return ids;
}

TEST(PositionSort, ListsPositionsInOrder) {
  for (const int64_t count : {1, 31, 2048, 2049, 9001})
    for (const int64_t rows : {1, 255, 256, 70001})
      check({.positions = count, .first = 5, .size = rows, .group = count, .rows = rows}, some_ids(count, 5, rows));
}

TEST(PositionSort, GroupsHaveRowsOfTheirOwn) {
  for (const int64_t size : {1, 33, 300})
    check({.positions = 7 * 511, .size = size, .group = 511, .rows_apart = size, .rows = 7 * size},
          some_ids(7 * 511, 0, size));
}

TEST(PositionSort, OfIdsThatAllAreOneOrNone) {
  for (const int32_t id : {0, 999, -1, 1000})
    check({.positions = 5000, .size = 1000, .group = 5000, .rows = 1000}, std::vector<int32_t>(5000, id));
}

}  // namespace
}  // namespace synthesizer::cuda
