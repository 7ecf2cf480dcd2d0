// The table of collective operations that every real communicator must pass: all ops, dtypes, reductions and odd
// counts, against values worked out from the ranks' numbers. Called by all ranks of the communicator under test.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/graph/communicator.h"

namespace synthesizer {

inline constexpr int64_t kCollectiveCounts[] = {1, 31, 33, 511, 100003};

// What rank `rank` brings as element i: small integers, exact in every dtype and every order of addition.
template <typename T>
T brought(int rank, int64_t i) {
  return static_cast<T>((i * 7 + rank * 13) % 101 - 50);
}

template <typename T>
T reduced(int size, int64_t i, Reduction reduction) {
  T value = brought<T>(0, i);
  for (int r = 1; r < size; ++r)
    value = reduction == Reduction::kSum ? static_cast<T>(value + brought<T>(r, i)) : std::max(value, brought<T>(r, i));
  return value;
}

template <typename T>
std::vector<T> all_brought(int rank, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = brought<T>(rank, i);
  return values;
}

template <typename T>
void check_reductions(Communicator& ranks, int64_t count, Reduction reduction) {
  const int size = ranks.size();
  std::vector<T> data = all_brought<T>(ranks.rank(), count);
  ranks.all_reduce(data.data(), count, kDTypeOf<T>, reduction);
  std::vector<T> expected(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) expected[static_cast<size_t>(i)] = reduced<T>(size, i, reduction);
  EXPECT_TRUE(data == expected) << "all_reduce of " << count << " on " << size;

  const std::vector<T> in = all_brought<T>(ranks.rank(), count * size);
  std::vector<T> out(static_cast<size_t>(count));
  ranks.reduce_scatter(in.data(), out.data(), count, kDTypeOf<T>, reduction);
  for (int64_t i = 0; i < count; ++i)
    expected[static_cast<size_t>(i)] = reduced<T>(size, ranks.rank() * count + i, reduction);
  EXPECT_TRUE(out == expected) << "reduce_scatter of " << count << " on " << size;
}

// Terms of every size and sign, none exact in bfloat16.
inline float rough_term(int rank, int64_t i) {
  return std::ldexp(static_cast<float>((i * 7919 + rank * 104729) % 65537 - 32768), static_cast<int>(i % 41) - 30);
}

// Whether all ranks have the same bits.
inline bool same_on_all(Communicator& ranks, const std::vector<float>& data) {
  const auto count = static_cast<int64_t>(data.size());
  std::vector<float> all(data.size() * static_cast<size_t>(ranks.size()));
  ranks.all_gather(data.data(), all.data(), count, DType::kFloat32);
  for (int r = 0; r < ranks.size(); ++r)
    if (std::memcmp(all.data() + r * count, data.data(), data.size() * sizeof(float)) != 0) return false;
  return true;
}

// Sums whose terms travel as bfloat16, against those in float64: half a unit in the last place of each term that
// travels, and of the sum where that does.
inline void check_rounded_sums(Communicator& ranks, int64_t count) {
  const int size = ranks.size();
  constexpr double kHalfUnit = 1.0 / 256, kFloat = 1e-6;
  const auto expect_near = [&](float sum, int64_t i, bool rounded, const char* call) {
    double exact = 0, magnitude = 0;
    for (int r = 0; r < size; ++r) {
      exact += static_cast<double>(rough_term(r, i));
      magnitude += std::abs(static_cast<double>(rough_term(r, i)));
    }
    const double bound =
        size == 1 ? 0 : magnitude * (kHalfUnit + kFloat) + (rounded ? (std::abs(exact) + magnitude / 256) / 256 : 0);
    ASSERT_LE(std::abs(static_cast<double>(sum) - exact), bound)
        << call << " of " << count << " on " << size << ", element " << i;
  };
  std::vector<float> data(static_cast<size_t>(count)), out(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) data[static_cast<size_t>(i)] = rough_term(ranks.rank(), i);
  ranks.all_reduce_rounded(data.data(), count);
  for (int64_t i = 0; i < count; ++i) expect_near(data[static_cast<size_t>(i)], i, true, "all_reduce_rounded");
  EXPECT_TRUE(same_on_all(ranks, data)) << count << " on " << size;

  std::vector<float> in(static_cast<size_t>(count * size));
  for (int64_t i = 0; i < count * size; ++i) in[static_cast<size_t>(i)] = rough_term(ranks.rank(), i);
  ranks.reduce_scatter_rounded(in.data(), out.data(), count);
  for (int64_t i = 0; i < count; ++i)
    expect_near(out[static_cast<size_t>(i)], ranks.rank() * count + i, false, "reduce_scatter_rounded");
}

template <typename T>
void check_moves(Communicator& ranks, int64_t count) {
  const int size = ranks.size();
  std::vector<T> in = all_brought<T>(ranks.rank(), count), out(static_cast<size_t>(count * size)), expected = out;
  ranks.all_gather(in.data(), out.data(), count, kDTypeOf<T>);
  for (int64_t i = 0; i < count * size; ++i)
    expected[static_cast<size_t>(i)] = brought<T>(static_cast<int>(i / count), i % count);
  EXPECT_TRUE(out == expected) << "all_gather of " << count << " on " << size;

  in = all_brought<T>(ranks.rank(), count * size);
  ranks.all_to_all(in.data(), out.data(), count, kDTypeOf<T>);
  for (int64_t i = 0; i < count * size; ++i)
    expected[static_cast<size_t>(i)] = brought<T>(static_cast<int>(i / count), ranks.rank() * count + i % count);
  EXPECT_TRUE(out == expected) << "all_to_all of " << count << " on " << size;

  for (int root = 0; root < size; ++root) {
    in = all_brought<T>(ranks.rank(), count);
    ranks.broadcast(in.data(), count * static_cast<int64_t>(sizeof(T)), root);
    EXPECT_TRUE(in == all_brought<T>(root, count)) << "broadcast of " << count << " from " << root << " of " << size;
  }
}

template <typename T>
void check_collectives_of(Communicator& ranks) {
  for (const int64_t count : kCollectiveCounts) {
    check_reductions<T>(ranks, count, Reduction::kSum);
    check_reductions<T>(ranks, count, Reduction::kMax);
    check_moves<T>(ranks, count);
  }
}

inline void check_collectives(Communicator& ranks) {
  check_collectives_of<float>(ranks);
  check_collectives_of<double>(ranks);
  check_collectives_of<int32_t>(ranks);
  check_collectives_of<int64_t>(ranks);
  for (const int64_t count : kCollectiveCounts) check_rounded_sums(ranks, count);
  ranks.all_reduce(nullptr, 0, DType::kFloat32, Reduction::kSum);  // nothing is fine
  ranks.all_reduce_rounded(nullptr, 0);
  ranks.barrier();
}

// Even and odd ranks apart, in reverse order: the halves work at once and alone, the whole still works afterwards.
inline void check_split(Communicator& ranks) {
  const int parity = ranks.rank() % 2;
  const auto half = ranks.split(parity, -ranks.rank());
  const int members = (ranks.size() + 1 - parity) / 2;
  ASSERT_EQ(half->size(), members);
  EXPECT_EQ(half->rank(), members - 1 - ranks.rank() / 2);
  int64_t sum = ranks.rank();
  half->all_reduce(&sum, 1, DType::kInt64, Reduction::kSum);
  EXPECT_EQ(sum, members * (members - 1) + parity * members);
  const auto alone = half->split(half->rank(), 0);
  EXPECT_EQ(alone->size(), 1);
  check_collectives_of<float>(*half);
  check_collectives_of<float>(*alone);
  check_collectives_of<float>(ranks);
}

}  // namespace synthesizer
