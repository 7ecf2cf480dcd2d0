// Captures of streams, and replaying them.
#include <functional>
#include <thread>

#include "tests/support/cuda_shim/tests/shim_fixture.h"

namespace cuda_shim {
namespace {

using testing::ElementsAre;

__global__ void nothing() {}

__global__ void append(int* list, int value) { list[++list[0]] = value; }

// Two streams, two events and a list that kernels append to.
class Captures : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    ASSERT_EQ(cudaMalloc(&list_, kBytes), cudaSuccess);
    ASSERT_EQ(cudaMemset(list_, 0, kBytes), cudaSuccess);
    for (cudaStream_t* stream : {&main_, &side_})
      ASSERT_EQ(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), cudaSuccess);
    for (cudaEvent_t* event : {&forked_, &joined_})
      ASSERT_EQ(cudaEventCreateWithFlags(event, cudaEventDisableTiming), cudaSuccess);
  }
  void TearDown() override {
    (void)cudaGetLastError();
    for (cudaStream_t stream : {main_, side_}) EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    for (cudaEvent_t event : {forked_, joined_}) EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
    EXPECT_EQ(cudaFree(list_), cudaSuccess);
    ShimTest::TearDown();
  }

  void begin() { ASSERT_EQ(cudaStreamBeginCapture(main_, cudaStreamCaptureModeThreadLocal), cudaSuccess); }
  void append_on(cudaStream_t stream, int value) {
    ASSERT_EQ(launch_on(stream, 1, 1, 0, append, list_, value), cudaSuccess);
  }
  void wait_for(cudaStream_t waiting, cudaStream_t other, cudaEvent_t event) {
    ASSERT_EQ(cudaEventRecord(event, other), cudaSuccess);
    ASSERT_EQ(cudaStreamWaitEvent(waiting, event), cudaSuccess);
  }
  std::vector<int> list() const { return {list_ + 1, list_ + 1 + list_[0]}; }

  static constexpr size_t kBytes = 32 * sizeof(int);
  int* list_ = nullptr;
  cudaStream_t main_ = nullptr, side_ = nullptr;
  cudaEvent_t forked_ = nullptr, joined_ = nullptr;
};

void append_three(void* list) { append(static_cast<int*>(list), 3); }

TEST_F(Captures, ReplayWhatWasRecorded) {
  cudaStreamCaptureStatus status;
  int value = 1;
  begin();
  append_on(main_, value);
  value = 100;  // arguments are those of the launch
  wait_for(side_, main_, forked_);
  append_on(side_, 2);
  ASSERT_EQ(cudaStreamIsCapturing(side_, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  wait_for(main_, side_, joined_);
  ASSERT_EQ(cudaLaunchHostFunc(main_, append_three, list_), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(list_ + 20, list_ + 1, sizeof(int), cudaMemcpyDeviceToDevice, main_), cudaSuccess);
  EXPECT_EQ(kernels_run(), 0);
  EXPECT_THAT(list(), ElementsAre());
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(main_, &graph), cudaSuccess);
  ASSERT_EQ(cudaStreamIsCapturing(side_, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusNone);
  size_t nodes = 0;
  ASSERT_EQ(cudaGraphGetNodes(graph, nullptr, &nodes), cudaSuccess);
  EXPECT_EQ(nodes, 4u);
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  for (const NamedSchedule& order : all_schedules()) {
    set_schedule(order.schedule, order.seed);
    ASSERT_EQ(cudaGraphLaunch(exec, main_), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(main_), cudaSuccess);
  }
  EXPECT_THAT(list(), ElementsAre(1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3));
  EXPECT_EQ(list_[20], 1);
  EXPECT_EQ(capture_violations(), 0);
  ASSERT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
}

TEST_F(Captures, OrdersShowAMissingWait) {
  begin();
  wait_for(side_, main_, forked_);
  append_on(side_, 1);
  append_on(main_, 2);  // does not wait for side_
  wait_for(main_, side_, joined_);
  append_on(main_, 3);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(main_, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(exec, main_), cudaSuccess);
  set_schedule(Schedule::kBackward);
  ASSERT_EQ(cudaGraphLaunch(exec, main_), cudaSuccess);
  EXPECT_THAT(list(), ElementsAre(1, 2, 3, 2, 1, 3));
  ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  ASSERT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
}

TEST_F(Captures, NothingWaitsOrAllocatesMeanwhile) {
  int host = 0;
  void* memory = nullptr;
  const std::vector<std::function<cudaError_t()>> calls = {
      [&] { return cudaMemcpy(&host, list_, sizeof host, cudaMemcpyDeviceToHost); },
      [&] { return cudaMemset(list_, 0, sizeof host); },
      [&] { return cudaMalloc(&memory, 8); },
      [&] { return cudaFree(list_); },
      [&] { return cudaHostAlloc(&memory, 8, cudaHostAllocDefault); },
      [&] { return cudaStreamSynchronize(main_); },
      [&] { return cudaStreamQuery(main_); },
      [&] { return cudaDeviceSynchronize(); },
      [&] { return cudaEventSynchronize(forked_); },
      [&] { return cudaEventQuery(forked_); },
  };
  for (size_t i = 0; i < calls.size(); ++i) {
    SCOPED_TRACE(i);
    begin();
    ASSERT_EQ(cudaEventRecord(forked_, main_), cudaSuccess);
    EXPECT_EQ(calls[i](), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(capture_violations(), static_cast<int64_t>(i) + 1);
    // As CUDA has it, the capture is lost.
    EXPECT_EQ(launch_on(main_, 1, 1, 0, append, list_, 1), cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(main_, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
  }
  EXPECT_EQ(cudaEventQuery(forked_), cudaErrorCapturedEvent);
  EXPECT_THAT(list(), ElementsAre());
}

TEST_F(Captures, MisuseIsRefused) {
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(main_, &graph), cudaErrorIllegalState);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal), cudaErrorStreamCaptureUnsupported);
  // Not joined.
  begin();
  EXPECT_EQ(cudaStreamBeginCapture(main_, cudaStreamCaptureModeThreadLocal), cudaErrorIllegalState);
  wait_for(side_, main_, forked_);
  append_on(side_, 1);
  EXPECT_EQ(cudaStreamEndCapture(side_, &graph), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(cudaStreamEndCapture(main_, &graph), cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(graph, nullptr);
  // On what lies outside.
  ASSERT_EQ(cudaEventRecord(joined_, side_), cudaSuccess);
  begin();
  EXPECT_EQ(cudaStreamWaitEvent(main_, joined_), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(cudaStreamEndCapture(main_, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(main_, forked_), cudaErrorCapturedEvent);
  EXPECT_EQ(launch_on(reinterpret_cast<cudaStream_t>(list_), 1, 1, 0, nothing), cudaErrorInvalidResourceHandle);
}

TEST_F(Captures, OtherThreadsGoOn) {
  begin();
  std::thread other([&] {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, 8), cudaSuccess);
    EXPECT_EQ(cudaFree(memory), cudaSuccess);
    append_on(side_, 7);
    EXPECT_EQ(cudaStreamSynchronize(side_), cudaSuccess);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(main_, &graph), cudaErrorStreamCaptureWrongThread);
  });
  other.join();
  EXPECT_THAT(list(), ElementsAre(7));
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(main_, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

}  // namespace
}  // namespace cuda_shim
