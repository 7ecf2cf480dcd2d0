// A GPU as a Device: memory, copies, marks, lanes and replays, on the stand-in and on a GPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <barrier>
#include <cstring>
#include <thread>

#include "core/base/error.h"
#include "core/graph/graph.h"
#include "core/graph/leaf.h"
#include "core/graph/program.h"
#include "core/kernels/cuda/runtime/cuda_device.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/elementwise.h"
#include "core/tensor/storage.h"
#include "tests/core/kernels/cuda/device_check.h"
#include "tests/support/message_of.h"
#include "tests/support/test_kernels.h"

namespace synthesizer::cuda {
namespace {

using ::testing::HasSubstr;

TEST(CudaDevice, MemoryIsCleared) {
  CudaDevice device(0);
  EXPECT_THAT(device.name(), HasSubstr("cuda 0"));
  const Storage storage(1000, &device);
  EXPECT_EQ(storage.device(), &device);
  std::vector<char> bytes(1000, 'x');
  device.download(bytes.data(), storage.data(), 1000);
  EXPECT_EQ(bytes, std::vector<char>(1000, '\0'));
  std::memset(bytes.data(), 7, 1000);
  device.upload(storage.data() + 0, bytes.data(), 1000);
  std::vector<char> back(1000);
  device.download(back.data(), storage.data(), 1000);
  EXPECT_EQ(back, bytes);
  EXPECT_EQ(Storage::pinned(10, device).device(), nullptr);
}

// y = relu(x) of a program on the device, with inputs written anew or left, and the state's own memory.
TEST(CudaDevice, ProgramsRunAgainAndAgainFromACapturedGraph) {
  Graph graph;
  const Shape shape{kModel(33)};
  const Value x = input(graph, "x", DType::kFloat32, shape), other = input(graph, "other", DType::kFloat32, shape);
  graph.mark_output("y", relu(x) + other);
  const std::unique_ptr<KernelTable> kernels = make_test_kernels();
  StateStore store(graph, kernels->device());
  Program program(graph, *kernels, {}, store);
  for (float& value : program.input<float>("other")) value = 0.5f;
  for (int run = 0; run < 5; ++run) {
    const auto values = program.input<float>("x");
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(run) - static_cast<float>(i % 5);
    program.run();
    // The next inputs may be written before these results are read.
    for (float& value : program.input<float>("x")) value = -1000;
    const auto y = program.output<float>("y");
    for (size_t i = 0; i < y.size(); ++i) {
      const float expected = static_cast<float>(run) - static_cast<float>(i % 5);
      ASSERT_EQ(y[i], std::max(expected, 0.0f) + 0.5f) << "run " << run << " element " << i;
    }
  }
  check_captures();
  program.run();  // with the inputs as they are
  EXPECT_EQ(program.output<float>("y")[0], 0.5f);
}

TEST(CudaDevice, LaneJobsAreOrderedByEventsInsideACapture) {
  CudaDevice device(0);
  Storage memory(4, &device);
  std::vector<int32_t> seen;
  int32_t value = 0;
  const auto read = [&](cudaStream_t stream) {
    check(cudaMemcpyAsync(&value, memory.data(), 4, cudaMemcpyDeviceToHost, stream), "reading");
  };
  const std::unique_ptr<Lane> lane = device.lane({[&] { read(device.communication_stream()); }});
  const std::unique_ptr<Replay> replay = device.replay();
  for (int run = 1; run < 4; ++run) {
    device.upload(memory.data(), &run, 4);
    replay->run([&] {
      lane->submit(0);
      lane->wait(0);
      check(cudaMemsetAsync(memory.data(), 0, 4, device.stream()), "clearing");
      lane->finish();
    });
    device.finish();
    EXPECT_EQ(value, run);
  }
  check_captures();
}

TEST(CudaDevice, ATimerTellsHowLongAStreamWorks) {
  CudaDevice device(0);
  Storage memory(1 << 20, &device);
  const std::unique_ptr<Timer> timer = device.timer();
  const auto seconds_of = [&](int clears) {
    timer->begin();
    for (int i = 0; i < clears; ++i) check(cudaMemsetAsync(memory.data(), i, 1 << 20, device.stream()), "clearing");
    timer->end();
    return timer->seconds();
  };
  seconds_of(1);
  const double few = seconds_of(1), many = seconds_of(200);
  EXPECT_GT(few, 0);
  EXPECT_GT(many, few);
  const CudaDevice::Memory all = device.memory();
  EXPECT_GE(all.total - all.free, 1 << 20);
  EXPECT_GT(all.free, 0);
}

TEST(CudaDevice, AnErrorInACaptureEndsIt) {
  CudaDevice device(0);
  const std::unique_ptr<Replay> replay = device.replay();
  replay->run([] {});
  EXPECT_THROW(replay->run([] { fail("[op] no"); }), Error);
  device.finish();  // the stream captures no more
}

TEST(CudaDevice, AStoppedDeviceSaysWhyAndCallsNothingMore) {
  CudaDevice device(0);
  device.finish();
  device.stop(std::make_exception_ptr(Error("[nccl] first")));
  device.stop(std::make_exception_ptr(Error("[nccl] second")));
  bool called = false;
  const std::function<void()> work = [&] { called = true; };
  device.call(device.communication_stream(), work);
  EXPECT_EQ(message_of([&] { device.finish(); }), "[nccl] first");
  EXPECT_EQ(message_of([&] { device.download(nullptr, nullptr, 0); }), "[nccl] first");
  EXPECT_FALSE(called);
}

// Two devices of one process whose calls wait for each other, as collectives of ranks that are threads do.
TEST(CudaDevice, CallsThatWaitForEachOtherAreMadeByTheirOwnThreads) {
  std::barrier<> meeting(2);
  const auto run = [&](int rank) {
    CudaDevice device(0);
    device.call_on_own_thread();
    Storage memory(4, &device), pinned = Storage::pinned(4, device);
    int32_t seen = -1, calls = 0;
    const std::function<void()> work = [&] {
      meeting.arrive_and_wait();
      std::memcpy(&seen, pinned.data(), 4);
      ++calls;
    };
    const std::unique_ptr<Replay> replay = device.replay();
    for (int step = 1; step < 4; ++step) {
      const int32_t value = 10 * step + rank;
      device.upload(memory.data(), &value, 4);
      replay->run([&] {
        check(cudaMemcpyAsync(pinned.data(), memory.data(), 4, cudaMemcpyDeviceToHost, device.communication_stream()),
              "reading");
        device.call(device.communication_stream(), work);
      });
      EXPECT_EQ(seen, value);  // what came before on the stream was done
      EXPECT_EQ(calls, step);
    }
  };
  std::jthread other(run, 1);
  run(0);
  other.join();
  check_captures();
}

TEST(CudaDevice, WhatACallOnItsOwnThreadThrowsTheNextFinishDoes) {
  CudaDevice device(0);
  device.call_on_own_thread();
  int calls = 0;
  const std::function<void()> work = [&] {
    ++calls;
    fail("[rank] no");
  };
  device.call(device.stream(), work);
  device.call(device.stream(), work);
  EXPECT_EQ(message_of([&] { device.finish(); }), "[rank] no");
  EXPECT_EQ(calls, 1);
}

TEST(CudaDevice, AWrongLaunchNamesItsKernel) {
  EXPECT_THAT(message_of([] { check(cudaErrorInvalidConfiguration, "unary_kernel"); }),
              HasSubstr("[cuda] unary_kernel"));
}

}  // namespace
}  // namespace synthesizer::cuda
