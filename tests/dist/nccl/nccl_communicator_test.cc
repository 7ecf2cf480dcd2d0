// NCCL's communicator against that of threads: the same calls, in memory of a device and in that of the host.
#include "dist/nccl/nccl_communicator.h"

#include <cmath>
#include <limits>

#include "core/tensor/bfloat16.h"
#include "tests/dist/collectives.h"
#include "tests/dist/nccl/nccl_ranks.h"

namespace synthesizer {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kCounts[] = {0, 1, 3, 1000, 100003};
constexpr NcclOptions kOrdered{.ordered = true};
// Ordered sums do not depend on how they are cut.
constexpr NcclOptions kCut{.ordered = true, .piece_bytes = int64_t{64} << 10};

// A call that reads `in` and writes `out`, which is a copy of `in` first.
template <typename T>
using Call = std::function<void(Communicator&, const T* in, T* out)>;

// As a program's collectives: on a lane, given once as it is and then from a captured graph.
template <typename T>
void expect_as_host(NcclRank& rank, const std::string& name, const std::vector<T>& in, int64_t out_count,
                    const Call<T>& call) {
  std::vector<T> expected = in;
  expected.resize(static_cast<size_t>(out_count));
  const std::vector<T> before = expected;
  call(rank.host, in.data(), expected.data());

  const Storage from = uploaded(rank.device, in), to = uploaded(rank.device, before);
  const auto given = [&] { call(rank.nccl, reinterpret_cast<const T*>(from.data()), reinterpret_cast<T*>(to.data())); };
  const std::unique_ptr<Lane> lane = rank.device.lane({given});
  const std::unique_ptr<Replay> replay = rank.device.replay();
  for (int run = 0; run < 3; ++run) {
    rank.device.upload(to.data(), before.data(), static_cast<int64_t>(before.size() * sizeof(T)));
    replay->run([&] {
      lane->submit(0);
      lane->wait(0);
      lane->finish();
    });
    const std::vector<T> got = downloaded<T>(rank.device, to, expected.size());
    EXPECT_TRUE(got.empty() || std::memcmp(got.data(), expected.data(), got.size() * sizeof(T)) == 0)
        << name << " of " << in.size() << " " << to_string(kDTypeOf<T>) << ", run " << run << ", rank "
        << rank.host.rank() << " of " << rank.host.size();
  }
}

// Small integers, exact in every order of addition; or values that show the order.
template <typename T>
std::vector<T> values(int rank, int64_t count, bool rough) {
  std::vector<T> all(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i)
    all[static_cast<size_t>(i)] =
        rounded<T>(rough ? rough_term(rank, i) : static_cast<float>(brought<int>(rank, i) / 4));
  return all;
}

template <typename T>
void check_reductions(NcclRank& rank, int64_t count, bool rough) {
  const DType dtype = kDTypeOf<T>;
  for (const Reduction reduction : {Reduction::kSum, Reduction::kMax}) {
    expect_as_host<T>(rank, "all_reduce", values<T>(rank.host.rank(), count, rough), count,
                      [&](Communicator& ranks, const T*, T* data) { ranks.all_reduce(data, count, dtype, reduction); });
    expect_as_host<T>(
        rank, "reduce_scatter", values<T>(rank.host.rank(), count * rank.host.size(), rough), count,
        [&](Communicator& ranks, const T* in, T* out) { ranks.reduce_scatter(in, out, count, dtype, reduction); });
  }
}

template <typename T>
void check_moves(NcclRank& rank, int64_t count) {
  const DType dtype = kDTypeOf<T>;
  const int size = rank.host.size();
  const std::vector<T> own = values<T>(rank.host.rank(), count, true);
  const std::vector<T> blocks = values<T>(rank.host.rank(), count * size, true);
  expect_as_host<T>(rank, "all_gather", own, count * size,
                    [&](Communicator& ranks, const T* in, T* out) { ranks.all_gather(in, out, count, dtype); });
  expect_as_host<T>(rank, "all_to_all", blocks, count * size,
                    [&](Communicator& ranks, const T* in, T* out) { ranks.all_to_all(in, out, count, dtype); });
  for (int root = 0; root < size; ++root)
    expect_as_host<T>(rank, "broadcast", own, count, [&](Communicator& ranks, const T*, T* data) {
      ranks.broadcast(data, count * size_of(dtype), root);
    });
}

void check_rounded(NcclRank& rank, int64_t count) {
  expect_as_host<float>(rank, "all_reduce_rounded", values<float>(rank.host.rank(), count, true), count,
                        [&](Communicator& ranks, const float*, float* data) { ranks.all_reduce_rounded(data, count); });
  expect_as_host<float>(
      rank, "reduce_scatter_rounded", values<float>(rank.host.rank(), count * rank.host.size(), true), count,
      [&](Communicator& ranks, const float* in, float* out) { ranks.reduce_scatter_rounded(in, out, count); });
}

class NcclRanks : public NcclTest, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, NcclRanks, ::testing::Values(1, 2, 4));

TEST_P(NcclRanks, ReductionsAreThoseOfThreads) {
  run_nccl_ranks(GetParam(), {}, [](NcclRank& rank) {
    EXPECT_EQ(rank.nccl.rank(), rank.host.rank());
    EXPECT_EQ(rank.nccl.size(), rank.host.size());
    EXPECT_EQ(rank.nccl.device(), &rank.device);
    for (const int64_t count : kCounts) {
      check_reductions<float>(rank, count, false);
      check_reductions<double>(rank, count, false);
      check_reductions<BFloat16>(rank, count, false);
      check_reductions<int32_t>(rank, count, false);
      check_reductions<int64_t>(rank, count, false);
    }
  });
}

TEST_P(NcclRanks, MovesAreThoseOfThreads) {
  run_nccl_ranks(GetParam(), {}, [](NcclRank& rank) {
    for (const int64_t count : kCounts) {
      check_moves<float>(rank, count);
      check_moves<BFloat16>(rank, count);
      check_moves<int64_t>(rank, count);
    }
    rank.nccl.barrier();
    rank.device.finish();
  });
}

TEST_P(NcclRanks, RoundedSumsHaveTheBitsOfThreads) {
  run_nccl_ranks(GetParam(), {}, [](NcclRank& rank) {
    for (const int64_t count : kCounts) check_rounded(rank, count);
    check_rounded(rank, 100004);  // the same share for every rank
  });
}

TEST_P(NcclRanks, OrderedSumsHaveTheBitsOfThreads) {
  for (const NcclOptions& options : {kOrdered, kCut})
    run_nccl_ranks(GetParam(), options, [](NcclRank& rank) {
      for (const int64_t count : kCounts) {
        check_reductions<float>(rank, count, true);
        check_reductions<double>(rank, count, true);
        check_reductions<BFloat16>(rank, count, true);
      }
    });
}

TEST_F(NcclTest, OddNumbersOfRanksHaveTheSameTree) {
  for (const int size : {3, 5, 7})
    run_nccl_ranks(size, kOrdered, [](NcclRank& rank) {
      check_reductions<float>(rank, 1000, true);
      check_rounded(rank, 1000);
      check_rounded(rank, 20011);
    });
}

// More than the kernel of few levels takes.
TEST_F(NcclTest, ManyRanksHaveTheSameTree) {
  run_nccl_ranks(19, kOrdered, [](NcclRank& rank) {
    check_reductions<float>(rank, 33, true);
    check_rounded(rank, 2000);
  });
}

// The sums that travel are those of pieces, whose shares are others than the host's.
TEST_F(NcclTest, RoundedSumsInPiecesAreTheSameOnAllRanks) {
  run_nccl_ranks(4, kCut, [](NcclRank& rank) {
    constexpr int64_t kCount = 100003;
    const std::vector<float> own = values<float>(rank.host.rank(), kCount, true);
    const Storage data = uploaded(rank.device, own);
    rank.nccl.all_reduce_rounded(reinterpret_cast<float*>(data.data()), kCount);
    const std::vector<float> sums = downloaded<float>(rank.device, data, kCount);
    EXPECT_TRUE(same_on_all(rank.host, sums));
    for (int64_t i = 0; i < kCount; ++i) {
      double exact = 0, magnitude = 0;
      for (int r = 0; r < 4; ++r) {
        exact += static_cast<double>(rough_term(r, i));
        magnitude += std::abs(static_cast<double>(rough_term(r, i)));
      }
      ASSERT_NEAR(static_cast<double>(sums[static_cast<size_t>(i)]), exact, magnitude / 100) << i;
    }
    expect_as_host<float>(
        rank, "reduce_scatter_rounded", values<float>(rank.host.rank(), kCount * 4, true), kCount,
        [&](Communicator& ranks, const float* in, float* out) { ranks.reduce_scatter_rounded(in, out, kCount); });
  });
}

TEST_F(NcclTest, AMaximumKeepsNaN) {
  run_nccl_ranks(4, {}, [](NcclRank& rank) {
    std::vector<float> own = {1, 2, 3, 4};
    own[static_cast<size_t>(rank.host.rank())] = std::numeric_limits<float>::quiet_NaN();
    const Storage data = uploaded(rank.device, own);
    rank.nccl.all_reduce(data.data(), 4, DType::kFloat32, Reduction::kMax);
    for (const float value : downloaded<float>(rank.device, data, 4)) EXPECT_TRUE(std::isnan(value));
  });
}

TEST_P(NcclRanks, Split) {
  run_nccl_ranks(GetParam(), {}, [](NcclRank& rank) {
    const int own = rank.host.rank(), parity = own % 2;
    const auto half = rank.nccl.split(parity, -own);
    const int members = (rank.host.size() + 1 - parity) / 2;
    ASSERT_EQ(half->size(), members);
    EXPECT_EQ(half->rank(), members - 1 - own / 2);
    EXPECT_EQ(half->device(), &rank.device);
    const auto alone = half->split(half->rank(), 0);
    EXPECT_EQ(alone->size(), 1);
    const Storage sum = uploaded(rank.device, std::vector<float>{static_cast<float>(own)});
    alone->all_reduce(sum.data(), 1, DType::kFloat32, Reduction::kSum);
    half->all_reduce(sum.data(), 1, DType::kFloat32, Reduction::kMax);
    EXPECT_EQ(downloaded<float>(rank.device, sum, 1)[0], static_cast<float>(2 * (members - 1) + parity));
    rank.nccl.all_reduce(sum.data(), 1, DType::kFloat32, Reduction::kMax);
    EXPECT_EQ(downloaded<float>(rank.device, sum, 1)[0], static_cast<float>(rank.host.size() - 1));
  });
}

TEST_F(NcclTest, MemoryForSumsIsNotTakenInACapture) {
  const std::string message = message_of([&] {
    run_nccl_ranks(2, {}, [](NcclRank& rank) {
      const Storage data = uploaded(rank.device, std::vector<float>(4));
      bool first = true;
      const std::unique_ptr<Lane> lane = rank.device.lane({[&] {
        if (!first) rank.nccl.all_reduce_rounded(reinterpret_cast<float*>(data.data()), 4);
        first = false;
      }});
      const std::unique_ptr<Replay> replay = rank.device.replay();
      for (int run = 0; run < 2; ++run)
        replay->run([&] {
          lane->submit(0);
          lane->wait(0);
          lane->finish();
        });
    });
  });
  EXPECT_THAT(message, HasSubstr("[nccl] memory for sums is taken at the first call"));
}

}  // namespace
}  // namespace synthesizer
