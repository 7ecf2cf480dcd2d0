// Checkpoints that are torn, altered, interrupted by kill -9 at every single call, or meet a full disk.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <random>

#include "core/base/error.h"
#include "core/checkpoint/folder.h"
#include "core/checkpoint/reader.h"
#include "core/checkpoint/writer.h"
#include "dist/thread_communicator.h"
#include "tests/core/checkpoint/sample_checkpoint.h"
#include "tests/support/file_faults.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// As `size` ranks find it; they all must find the same.
NewestCheckpoint newest_of(const CheckpointFolder& folder, int size = 1) {
  NewestCheckpoint found;
  run_ranks(size, [&](Communicator& world) {
    const NewestCheckpoint here = find_newest_checkpoint(folder.path, world);
    if (world.rank() == 0) found = here;
  });
  return found;
}

class DamagedCheckpoint : public ::testing::Test {
 protected:
  void SetUp() override {
    run_ranks(1, [&](Communicator& world) {
      write_sample(folder_, 10, world);
      write_sample(folder_, 20, world);
    });
  }

  // The newer one is refused by name, the one before used.
  void expect_refused(const std::string& why, int size = 1) {
    const NewestCheckpoint newest = newest_of(folder_, size);
    ASSERT_TRUE(newest.folder.has_value());
    EXPECT_EQ(*newest.folder, folder_.final_path(10));
    ASSERT_EQ(newest.refused.size(), 1u);
    EXPECT_THAT(newest.refused[0], AllOf(HasSubstr("step_00000020"), HasSubstr(why)));
  }

  TemporaryFolder temporary_;
  CheckpointFolder folder_{temporary_ / "checkpoints"};
};

TEST_F(DamagedCheckpoint, EveryFlippedBitIsFound) {
  std::mt19937_64 random(1);
  run_ranks(1, [&](Communicator& world) {
    for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"}) {
      const fs::path path = folder_.final_path(20) / name;
      const std::string whole = read_text_file(path);
      const File file(path, O_WRONLY);
      for (size_t i = 0; i < whole.size(); ++i) {
        const char flipped = static_cast<char>(whole[i] ^ (1 << random() % 8));
        file.write_at(static_cast<int64_t>(i), &flipped, 1);
        EXPECT_THAT([&] { CheckpointReader(folder_.final_path(20)).verify(world); },
                    ThrowsMessage<UsageError>(HasSubstr("step_00000020/" + std::string(name))))
            << name << " byte " << i;
        file.write_at(static_cast<int64_t>(i), &whole[i], 1);
      }
    }
    EXPECT_EQ(find_newest_checkpoint(folder_.path, world).folder, folder_.final_path(20));
  });
}

TEST_F(DamagedCheckpoint, EveryTruncationIsFound) {
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"}) {
    const fs::path path = folder_.final_path(20) / name;
    // The text's last byte is a newline, which nothing depends on.
    for (auto bytes = static_cast<int64_t>(fs::file_size(path)) - 2; bytes >= 0; bytes -= 13) {
      fs::resize_file(path, static_cast<uintmax_t>(bytes));
      expect_refused(name);
    }
    fs::remove(path);
    expect_refused(name);
    fs::copy_file(folder_.final_path(10) / name, path);
  }
}

TEST_F(DamagedCheckpoint, TheTensorIsNamedOnAllRanks) {
  const fs::path path = folder_.final_path(20) / "model.safetensors";
  const int64_t at = SafetensorsReader(path).at("encoder.0.attention.w2").begin + 17;
  char byte = 0;
  File(path, O_RDONLY).read_at(at, &byte, 1);
  byte = static_cast<char>(byte ^ 1);
  File(path, O_WRONLY).write_at(at, &byte, 1);
  for (const int size : {1, 2, 4}) expect_refused("tensor encoder.0.attention.w2 is altered", size);
  run_ranks(3, [&](Communicator& world) {
    const CheckpointReader reader(folder_.final_path(20));
    EXPECT_THAT([&] { reader.verify(world); },
                ThrowsMessage<UsageError>(HasSubstr("tensor encoder.0.attention.w2 is altered")));
  });
}

TEST_F(DamagedCheckpoint, AnotherCheckpointsFilesAreRefused) {
  fs::copy_file(folder_.final_path(10) / "optimizer.safetensors", folder_.final_path(20) / "optimizer.safetensors",
                fs::copy_options::overwrite_existing);
  expect_refused("optimizer.safetensors: tensor embedding.column is altered");
}

TEST_F(DamagedCheckpoint, WhatIsVerifiedIsWhatIsRead) {
  const fs::path path = folder_.final_path(20) / "model.safetensors";
  run_ranks(1, [&](Communicator& world) {
    const CheckpointReader reader(folder_.final_path(20));
    fs::copy_file(folder_.final_path(10) / "model.safetensors", temporary_ / "other");
    fs::rename(temporary_ / "other", path);
    reader.verify(world);  // the file that is open, whatever its name stands for now
    EXPECT_TRUE(is_sample(reader));
    const CheckpointReader cut(folder_.final_path(10));
    fs::resize_file(folder_.final_path(10) / "model.safetensors", 3000);
    EXPECT_THAT([&] { cut.verify(world); }, ThrowsMessage<UsageError>(HasSubstr("cannot be read whole")));
  });
}

TEST(Checkpoints, NoneAtAll) {
  const TemporaryFolder temporary;
  EXPECT_FALSE(newest_of({temporary / "nowhere"}).folder.has_value());
  EXPECT_THAT([&] { CheckpointReader(temporary / "nowhere"); },
              ThrowsMessage<UsageError>(HasSubstr("no such checkpoint")));
  EXPECT_THAT([&] { CheckpointReader(temporary.path()); }, ThrowsMessage<UsageError>(HasSubstr("no state.json")));
}

// Two checkpoints, the second in place of one that is there, and the first removed by the end.
void write_two(const CheckpointFolder& folder, int size) {
  run_ranks(size, [&](Communicator& world) {
    CheckpointWriter writer(folder, world);
    for (const int64_t step : {20, 30}) {
      begin_sample(writer, step, world);
      writer.finish();
    }
  });
}

// A folder with steps 10 and 30, the latter with one bit wrong, as a run finds it that goes on from 10.
void prepare_folder(const CheckpointFolder& folder) {
  const FileFaults no_syncs(Fault::kNone, 0);
  run_ranks(1, [&](Communicator& world) {
    write_sample({folder.path}, 10, world);
    write_sample({folder.path}, 30, world);
  });
  const fs::path path = folder.final_path(30) / "model.safetensors";
  const auto at = static_cast<int64_t>(fs::file_size(path)) - 1;
  char byte = 0;
  File(path, O_RDONLY).read_at(at, &byte, 1);
  byte = static_cast<char>(byte ^ 1);
  File(path, O_WRONLY).write_at(at, &byte, 1);
}

// Runs `write_two` in a process that is killed at its call number `at_call`; false if it came to its end before.
bool killed_at(const CheckpointFolder& folder, int size, Fault fault, int64_t at_call) {
  const pid_t child = ::fork();
  if (child == 0) {
    const FileFaults faults(fault, at_call);
    write_two(folder, size);
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

class KilledWriter : public ::testing::TestWithParam<int> {};

TEST_P(KilledWriter, AlwaysLeavesAWholeCheckpoint) {
  const int size = GetParam();
  int64_t kills = 0;
  int64_t step_before = 10;
  for (int64_t call = 1;; ++call) {
    const TemporaryFolder temporary;
    const CheckpointFolder folder{temporary / "checkpoints", 1};
    prepare_folder(folder);
    const bool killed = killed_at(folder, size, call % 2 == 0 ? Fault::kKill : Fault::kKillHalf, call);
    kills += killed ? 1 : 0;
    const NewestCheckpoint newest = newest_of(folder, 2);
    ASSERT_TRUE(newest.folder.has_value()) << "call " << call;
    const CheckpointReader reader(*newest.folder);
    EXPECT_TRUE(is_sample(reader)) << "call " << call;
    // One rank makes its calls in one order: what is saved never goes back.
    EXPECT_TRUE(size > 1 || reader.state().step >= step_before) << "call " << call;
    step_before = reader.state().step;
    // The next program finds its way from there, and clears what was left.
    {
      const FileFaults no_syncs(Fault::kNone, 0);
      write_two(folder, 1);
    }
    EXPECT_EQ(newest_of(folder).folder, folder.final_path(30));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path), {}), 1) << "call " << call;
    if (!killed) break;
  }
  EXPECT_EQ(step_before, 30);
  EXPECT_GE(kills, 50);
}

INSTANTIATE_TEST_SUITE_P(Ranks, KilledWriter, ::testing::Values(1, 2));

// Writes step 20 with a fault, then step 30 without. Gives the message of the error that all ranks met together, empty
// if none did, and the number of calls that step 20 took.
struct Attempt {
  std::string message;
  int64_t calls = 0;
};
Attempt attempt(const CheckpointFolder& folder, int size, Fault fault, int64_t at_call) {
  Attempt result;
  std::vector<std::string> messages(static_cast<size_t>(size));
  run_ranks(size, [&](Communicator& world) {
    CheckpointWriter writer(folder, world);
    std::unique_ptr<FileFaults> faults;
    if (world.rank() == 0) faults = std::make_unique<FileFaults>(fault, at_call);
    world.barrier();
    try {
      begin_sample(writer, 20, world);
      writer.finish();
    } catch (const Error& error) {
      messages[static_cast<size_t>(world.rank())] = error.what();
    }
    EXPECT_FALSE(writer.in_flight());
    world.barrier();
    if (faults) result.calls = faults->calls();
    if (faults) {
      faults.reset();
      faults = std::make_unique<FileFaults>(Fault::kNone, 0);
    }
    world.barrier();
    // Where there is space again, the same writer goes on.
    begin_sample(writer, 30, world);
    writer.finish();
    world.barrier();
  });
  for (const std::string& message : messages) EXPECT_EQ(message, messages[0]);
  result.message = messages[0];
  return result;
}

class FailingDisk : public ::testing::TestWithParam<int> {};

TEST_P(FailingDisk, IsMetByAllRanksTogether) {
  int64_t failures = 0;
  for (const Fault fault : {Fault::kDiskFull, Fault::kIoError}) {
    int64_t calls = 1;
    // Call 0 is none: the first round counts.
    for (int64_t call = 0; call <= calls; ++call) {
      const TemporaryFolder temporary;
      const CheckpointFolder folder{temporary / "checkpoints", 3};
      run_ranks(1, [&](Communicator& world) {
        const FileFaults no_syncs(Fault::kNone, 0);
        write_sample(folder, 10, world);
      });
      const Attempt result = attempt(folder, GetParam(), call == 0 ? Fault::kNone : fault, call);
      if (call == 0) calls = result.calls;
      if (!result.message.empty()) {
        ++failures;
        EXPECT_THAT(result.message, HasSubstr(folder.path.string()));
        EXPECT_THAT(result.message,
                    HasSubstr(fault == Fault::kIoError ? "Input/output error" : "The disk is full: free space there"));
      }
      EXPECT_TRUE(is_sample(CheckpointReader(folder.final_path(10)))) << "call " << call;
      EXPECT_EQ(newest_of(folder).folder, folder.final_path(30)) << "call " << call;
    }
  }
  EXPECT_GE(failures, 40);
}

INSTANTIATE_TEST_SUITE_P(Ranks, FailingDisk, ::testing::Values(1, 3));

TEST(FullDisk, SaysWhereAndWhatToDo) {
  const File full("/dev/full", O_WRONLY);
  EXPECT_THAT([&] { full.append("text"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("could not write /dev/full: No space left on device"),
                                         HasSubstr("The disk is full: free space there"))));
}

}  // namespace
}  // namespace synthesizer
