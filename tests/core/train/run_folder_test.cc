#include "core/train/run_folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <latch>
#include <memory>
#include <thread>

#include "core/base/error.h"
#include "dist/thread_communicator.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

void only_steps_may_differ(const std::string& before, const std::string& wanted) {
  const auto name = [](const std::string& config) { return config.substr(0, config.find('\n')); };
  if (name(before) != name(wanted)) fail_usage("{} is not {}", name(wanted), name(before));
}

class Folder : public ::testing::Test {
 protected:
  // Opened by `size` ranks; whether the run was there before.
  bool open(const std::string& config, int size = 1, std::chrono::milliseconds wait = std::chrono::seconds(15)) {
    bool existed = false;
    run_ranks(size, [&](Communicator& world) {
      const RunFolder run(path_, config, only_steps_may_differ, world, wait);
      world.barrier();
      if (world.rank() == size - 1) existed = run.existed();
    });
    return existed;
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "runs/a";
};

TEST_F(Folder, BeginsAndIsTakenUpAgain) {
  EXPECT_FALSE(open("name: a\nsteps: 1\n", 3));
  EXPECT_EQ(read_text_file(path_ / "config.txtpb"), "name: a\nsteps: 1\n");
  EXPECT_TRUE(open("name: a\nsteps: 1\n", 3));
  // The configuration that is in force is the one in the folder.
  EXPECT_TRUE(open("name: a\nsteps: 2\n"));
  EXPECT_EQ(read_text_file(path_ / "config.txtpb"), "name: a\nsteps: 2\n");
}

TEST_F(Folder, AnotherRunIsRefusedAndLeftAlone) {
  open("name: a\nsteps: 1\n");
  run_ranks(2, [&](Communicator& world) {
    EXPECT_THAT([&] { RunFolder run(path_, "name: b\n", only_steps_may_differ, world); },
                ThrowsMessage<UsageError>(HasSubstr("name: b is not name: a")));
  });
  EXPECT_EQ(read_text_file(path_ / "config.txtpb"), "name: a\nsteps: 1\n");
}

TEST_F(Folder, AFolderOfOtherThingsIsRefusedAndLeftAlone) {
  std::filesystem::create_directories(path_);
  File(path_ / "thesis.tex", O_WRONLY | O_CREAT).append("x");
  EXPECT_THAT([&] { open("name: a\n"); },
              ThrowsMessage<UsageError>(AllOf(HasSubstr(path_.string()), HasSubstr("thesis.tex but no config.txtpb"))));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path_), {}), 1);
  path_ = path_ / "thesis.tex";
  EXPECT_THAT([&] { open("name: a\n"); }, ThrowsMessage<UsageError>(HasSubstr("not a folder")));
}

TEST_F(Folder, ARunKilledBeforeItsConfigurationWasWrittenBegins) {
  std::filesystem::create_directories(path_);
  File(path_ / "lock", O_WRONLY | O_CREAT).append("process 1 on elsewhere\n");
  File(path_ / "config.txtpb.partial", O_WRONLY | O_CREAT).append("na");
  EXPECT_FALSE(open("name: a\n"));
  EXPECT_EQ(read_text_file(path_ / "config.txtpb"), "name: a\n");
}

TEST_F(Folder, TheHolderOfTheLockIsNamed) {
  run_ranks(1, [&](Communicator& world) {
    const RunFolder run(path_, "name: a\n", only_steps_may_differ, world);
    EXPECT_THAT([&] { open("name: a\n", 2, std::chrono::milliseconds(0)); },
                ThrowsMessage<UsageError>(AllOf(HasSubstr("the run is in use by process " + std::to_string(::getpid())),
                                                HasSubstr(" on "), HasSubstr("waited 0.0 s"))));
  });
}

TEST_F(Folder, ARunThatIsJustEndingIsWaitedFor) {
  run_ranks(1, [&](Communicator& world) {
    auto ending = std::make_unique<RunFolder>(path_, "name: a\n", only_steps_may_differ, world);
    std::latch compared(1);
    std::thread next([&] {
      run_ranks(1, [&](Communicator& alone) {
        bool first = true;
        const auto compare = [&](const std::string&, const std::string&) {
          if (std::exchange(first, false)) compared.count_down();
        };
        const RunFolder run(path_, "name: a\n", compare, alone, std::chrono::minutes(5));
        EXPECT_TRUE(run.existed());
      });
    });
    compared.wait();
    ending.reset();
    next.join();
  });
}

}  // namespace
}  // namespace synthesizer
