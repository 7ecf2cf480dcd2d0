// What goes wrong: NCCL's own errors at a call and after it, and ranks that do not fit together.
#include <filesystem>

#include "dist/nccl/local_gpu.h"
#include "dist/nccl/nccl_id.h"
#include "tests/dist/nccl/nccl_ranks.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kSoon = std::chrono::milliseconds(1);
constexpr auto kNever = std::chrono::hours(1);

TEST_F(NcclTest, AFailedCallSaysWhichAndHowLarge) {
  const std::string message = message_of([&] {
    run_nccl_ranks(2, {}, [&](NcclRank& rank) {
      const Storage data = uploaded(rank.device, std::vector<float>(1000));
      if (rank.host.rank() == 1) fake.fail_next("ncclAllReduce", NcclResult::kUnhandledCudaError);
      rank.host.barrier();
      if (rank.host.rank() == 1) rank.nccl.all_reduce(data.data(), 1000, DType::kFloat32, Reduction::kSum);
    });
  });
  EXPECT_THAT(message, AllOf(HasSubstr("[nccl] all_reduce of 4000 bytes: fake error: of the stand-in"),
                             HasSubstr("[rank 1/2]")));
  EXPECT_GE(fake.aborted(), 1);  // so that the other ranks' GPUs do not wait for this one
}

TEST_F(NcclTest, AFailedExchangeEndsItsGroup) {
  for (const char* function : {"ncclSend", "ncclRecv", "ncclGroupEnd"}) {
    const std::string message = message_of([&] {
      run_nccl_ranks(2, {}, [&](NcclRank& rank) {
        const Storage data = uploaded(rank.device, std::vector<float>(4));
        const Storage out = uploaded(rank.device, std::vector<float>(4));
        if (rank.host.rank() == 0) fake.fail_next(function, NcclResult::kInvalidArgument);
        rank.host.barrier();
        if (rank.host.rank() == 0) rank.nccl.all_to_all(data.data(), out.data(), 2, DType::kFloat32);
      });
    });
    EXPECT_THAT(message, HasSubstr("[nccl] all_to_all of 16 bytes")) << function;
  }
}

TEST_F(NcclTest, AFailedStartSaysSo) {
  fake.fail_next("ncclCommInitRankConfig", NcclResult::kSystemError);
  EXPECT_THAT(message_of([] { run_nccl_ranks(1, {}, [](NcclRank&) {}); }),
              AllOf(HasSubstr("[nccl] making a communicator with NCCL 2.30.0"), HasSubstr(": fake error"),
                    HasSubstr("[rank 0/1]")));
  fake.fail_next("ncclCommSplit", NcclResult::kSystemError);
  EXPECT_THAT(message_of([] { run_nccl_ranks(1, {}, [](NcclRank& rank) { rank.nccl.split(0, 0); }); }),
              HasSubstr("[nccl] making a communicator with NCCL 2.30.0"));
  fake.fail_next("ncclGetUniqueId", NcclResult::kSystemError);
  EXPECT_THAT(message_of([] { run_nccl_ranks(1, {}, [](NcclRank&) {}); }), HasSubstr("[nccl] making an id"));
}

// A step of the device that sums 8 floats: run once as it is, then from a captured graph.
class Step {
 public:
  explicit Step(NcclRank& rank)
      : rank_(rank), data_(uploaded(rank.device, std::vector<float>(8))), replay_(rank.device.replay()) {
    lane_ = rank.device.lane({[this] {
      rank_.device.name_work("gradient.w");
      rank_.nccl.all_reduce(data_.data(), 8, DType::kFloat32, Reduction::kSum);
      rank_.device.name_work({});
    }});
  }
  void run() {
    replay_->run([&] {
      lane_->submit(0);
      lane_->wait(0);
      lane_->finish();
    });
  }

 private:
  NcclRank& rank_;
  Storage data_;
  std::unique_ptr<Lane> lane_;
  std::unique_ptr<Replay> replay_;
};

// Both ranks run two steps, rank 0 a third, which waits for ever; then its errors of every kind, which are one.
std::string error_of_a_lonely_step(const NcclOptions& options, const std::function<void()>& before_it) {
  std::string message;
  run_nccl_ranks(2, options, [&](NcclRank& rank) {
    Step step(rank);
    step.run();
    step.run();
    rank.device.finish();
    rank.host.barrier();
    if (rank.host.rank() == 0) {
      before_it();
      step.run();
      message = message_of([&] { rank.device.finish(); });
      EXPECT_EQ(message, message_of([&] { rank.nccl.barrier(); }));
      EXPECT_EQ(message, message_of([&] { rank.nccl.split(0, 0); }));
    }
    rank.host.barrier();
  });
  return message;
}

TEST_F(NcclTest, WhatNcclFindsLaterEndsTheWaiting) {
  const std::string message = error_of_a_lonely_step({.watch_interval = kSoon, .limits = {.collective = kNever}},
                                                     [&] { fake.fail_later(0, NcclResult::kRemoteError); });
  EXPECT_THAT(message,
              AllOf(HasSubstr("[nccl] all_reduce of 32 bytes (gradient.w)"),
                    HasSubstr(": remote process exited: of the stand-in. NCCL_DEBUG=INFO says more [rank 0/2]")));
  EXPECT_EQ(fake.aborted(), 1);
}

TEST_F(NcclTest, ACollectiveThatARankNeverComesToIsGivenUp) {
  const std::string message = error_of_a_lonely_step(
      {.watch_interval = kSoon, .limits = {.collective = std::chrono::milliseconds(100)}}, [] {});
  EXPECT_THAT(message, AllOf(HasSubstr("[nccl] all_reduce of 32 bytes (gradient.w): not done after 0.1"),
                             HasSubstr(" s (SYNTHESIZER_NCCL_TIMEOUT). A rank has not come"), HasSubstr("[rank 0/2]")));
  EXPECT_EQ(fake.aborted(), 1);
}

// Many short calls take longer than one may: what counts is that they go on.
TEST_F(NcclTest, CallsThatGoOnAreNotGivenUp) {
  constexpr auto kLimit = std::chrono::milliseconds(200);
  run_nccl_ranks(2, {.watch_interval = kSoon, .limits = {.collective = kLimit}}, [&](NcclRank& rank) {
    Step step(rank);
    const auto end = std::chrono::steady_clock::now() + 2 * kLimit;
    for (int32_t more = 1; more != 0;) {
      step.run();
      rank.device.finish();
      more = std::chrono::steady_clock::now() < end ? 1 : 0;
      rank.host.broadcast(&more, sizeof(more), 0);
    }
  });
  EXPECT_EQ(fake.aborted(), 0);
}

TEST_F(NcclTest, ARankThatNeverJoinsIsGivenUp) {
  const NcclLibrary library;
  cuda::CudaDevice device(0);
  NcclId id = {};
  ASSERT_EQ(library.api().GetUniqueId(&id), NcclResult::kSuccess);
  const std::string message = message_of(
      [&] { NcclCommunicator(library, device, id, 0, 2, {.limits = {.start = std::chrono::milliseconds(100)}}); });
  EXPECT_THAT(message, AllOf(HasSubstr("[nccl] making a communicator with NCCL 2.30.0"),
                             HasSubstr("a rank has not come for 0.1 s (SYNTHESIZER_NCCL_TIMEOUT) [rank 0/2]")));
  EXPECT_EQ(fake.aborted(), 1);
}

TEST(NcclLimits, AreSecondsOfTheEnvironment) {
  unsetenv("SYNTHESIZER_NCCL_TIMEOUT");
  EXPECT_EQ(nccl_limits().start, std::chrono::seconds(600));
  EXPECT_EQ(nccl_limits().collective, std::chrono::seconds(1800));
  setenv("SYNTHESIZER_NCCL_TIMEOUT", "2.5", 1);
  EXPECT_EQ(nccl_limits().start, std::chrono::milliseconds(2500));
  EXPECT_EQ(nccl_limits().collective, std::chrono::milliseconds(2500));
  for (const char* wrong : {"", "0", "-1", "nan", "1e12", "10 s"}) {
    setenv("SYNTHESIZER_NCCL_TIMEOUT", wrong, 1);
    EXPECT_THAT(message_of([] { nccl_limits(); }), HasSubstr("SYNTHESIZER_NCCL_TIMEOUT: got '")) << wrong;
  }
  unsetenv("SYNTHESIZER_NCCL_TIMEOUT");
}

TEST_F(NcclTest, RanksThatShareAGpuAreTold) {
  const auto start = [] { return message_of([] { run_nccl_ranks(2, {}, [](NcclRank&) {}); }); };
  EXPECT_EQ(start(), "nothing thrown");
  setenv("NCCL_MULTI_RANK_GPU_ENABLE", "0", 1);
  EXPECT_THAT(start(),
              AllOf(HasSubstr("[nccl] ranks 0 and 1 use the same GPU"), HasSubstr("NCCL_MULTI_RANK_GPU_ENABLE=1")));
  unsetenv("NCCL_MULTI_RANK_GPU_ENABLE");
  EXPECT_THAT(start(), HasSubstr("[nccl] ranks 0 and 1 use the same GPU"));
  setenv("NCCL_MULTI_RANK_GPU_ENABLE", "1", 1);
  fake.set_version(22809);
  EXPECT_THAT(start(), AllOf(HasSubstr("the same GPU"), HasSubstr("NCCL 2.28.9; from 2.30.0 on")));
}

TEST(LocalGpu, IsTheLocalRankModuloTheGpus) {
  EXPECT_EQ(gpu_of(5, 4), 1);
  EXPECT_EQ(gpu_of(3, 8), 3);
  EXPECT_THAT(message_of([] { gpu_of(0, 0); }), HasSubstr("[nccl] no GPU for local rank 0"));
  EXPECT_NE(gpu_id(0), GpuId{});
}

TEST(LocalGpu, RankIsWhatTheLauncherSays) {
  unsetenv("OMPI_COMM_WORLD_LOCAL_RANK");
  unsetenv("SLURM_LOCALID");
  EXPECT_EQ(local_rank(3), 3);
  setenv("SLURM_LOCALID", "0", 1);
  EXPECT_EQ(local_rank(3), 0);
  setenv("OMPI_COMM_WORLD_LOCAL_RANK", "2", 1);  // by mpirun, in a job of Slurm's
  EXPECT_EQ(local_rank(3), 2);
  setenv("OMPI_COMM_WORLD_LOCAL_RANK", "x", 1);
  EXPECT_THAT(message_of([] { local_rank(0); }), HasSubstr("OMPI_COMM_WORLD_LOCAL_RANK: got 'x'"));
  unsetenv("OMPI_COMM_WORLD_LOCAL_RANK");
  unsetenv("SLURM_LOCALID");
}

TEST_F(NcclTest, AnIdTravelsThroughAFile) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "id-17";
  const NcclLibrary library;
  run_ranks(2, [&](Communicator& host) {
    cuda::CudaDevice device(0);
    const NcclId id = share_id(library, file, host.rank(), std::chrono::seconds(60));
    NcclCommunicator nccl(library, device, id, host.rank(), host.size());
    const Storage data = uploaded(device, std::vector<int32_t>{host.rank() + 1});
    nccl.all_reduce(data.data(), 1, DType::kInt32, Reduction::kSum);
    EXPECT_EQ(downloaded<int32_t>(device, data, 1)[0], 3);
  });
  EXPECT_THAT(message_of([&] { share_id(library, file, 0, kSoon); }), HasSubstr("is there already"));
  EXPECT_THAT(message_of([&] { share_id(library, folder.path() / "none", 1, kSoon); }),
              AllOf(HasSubstr("has not come after 0"), HasSubstr("[rank 1]")));
}

}  // namespace
}  // namespace synthesizer
