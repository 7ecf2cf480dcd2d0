// What the tests of NCCL share: the stand-in library, and ranks that each have a device of the stand-in for CUDA.
#pragma once

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/kernels/cuda/runtime/cuda_device.h"
#include "core/tensor/storage.h"
#include "dist/nccl/nccl_communicator.h"
#include "dist/nccl/nccl_library.h"
#include "dist/thread_communicator.h"
#include "tests/dist/nccl/fake_nccl.h"
#include "tests/support/cuda_shim/control.h"
#include "tests/support/message_of.h"

namespace synthesizer {

class NcclTest : public ::testing::Test {
 protected:
  NcclTest() {
    cuda_shim::reset();
    void* const library = dlopen(FAKE_NCCL, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    const auto control = reinterpret_cast<FakeNcclControl (*)()>(dlsym(library, "fake_nccl_control"));
    fake = control();
    fake.reset(
        [](CUstream_st* stream, void (*work)(void*), void* data) { cuda_shim::run_as_kernel(stream, work, data); });
    setenv("SYNTHESIZER_NCCL", FAKE_NCCL, 1);
    setenv("NCCL_MULTI_RANK_GPU_ENABLE", "1", 1);  // the stand-in for CUDA has one GPU
  }
  ~NcclTest() override {
    EXPECT_EQ(fake.live(), 0);
    EXPECT_EQ(cuda_shim::capture_violations(), 0);
    EXPECT_EQ(cuda_shim::live_allocations(), 0);
    EXPECT_EQ(cuda_shim::live_handles(), 0);
    unsetenv("SYNTHESIZER_NCCL");
    unsetenv("NCCL_MULTI_RANK_GPU_ENABLE");
    cuda_shim::reset();
  }

  FakeNcclControl fake;
};

// One rank of a test: its device, its communicator, and the host's, of the same ranks.
struct NcclRank {
  NcclRank(const NcclLibrary& library, Communicator& host_, NcclOptions options = {})
      : host(host_), device(0), nccl(library, device, host, options) {}

  Communicator& host;
  cuda::CudaDevice device;
  NcclCommunicator nccl;
};

inline void run_nccl_ranks(int size, const NcclOptions& options, const std::function<void(NcclRank&)>& body) {
  const NcclLibrary library;
  run_ranks(size, [&](Communicator& host) {
    NcclRank rank(library, host, options);
    body(rank);
  });
}

// Memory of the device that holds these values.
template <typename T>
Storage uploaded(cuda::CudaDevice& device, const std::vector<T>& values) {
  const auto bytes = static_cast<int64_t>(values.size() * sizeof(T));
  Storage storage(std::max<int64_t>(bytes, 1), &device);
  device.upload(storage.data(), values.data(), bytes);
  return storage;
}

template <typename T>
std::vector<T> downloaded(cuda::CudaDevice& device, const Storage& storage, size_t count) {
  std::vector<T> values(count);
  device.download(values.data(), storage.data(), static_cast<int64_t>(count * sizeof(T)));
  return values;
}

}  // namespace synthesizer
