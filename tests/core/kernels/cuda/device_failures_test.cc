// What a GPU as a Device says where there is none and where its memory is full, and that it gives back what it took, on
// the stand-in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "core/base/error.h"
#include "core/kernels/cuda/runtime/cuda_device.h"
#include "core/tensor/storage.h"
#include "tests/support/cuda_shim/control.h"
#include "tests/support/message_of.h"

namespace synthesizer::cuda {
namespace {

using ::testing::HasSubstr;

class CudaDeviceFailures : public ::testing::Test {
 protected:
  CudaDeviceFailures() { cuda_shim::reset(); }
  ~CudaDeviceFailures() override { cuda_shim::reset(); }
};

TEST_F(CudaDeviceFailures, WithoutADriverThereIsNone) {
  cuda_shim::set_device_count(0);
  std::string why;
  EXPECT_EQ(device_count(&why), 0);
  EXPECT_THAT(why, HasSubstr("driver"));
  EXPECT_THAT(message_of([] { CudaDevice device(0); }), HasSubstr("[cuda] no GPU 0: there are 0"));
}

TEST_F(CudaDeviceFailures, EverythingIsGivenBack) {
  const int64_t before = cuda_shim::live_allocations();
  {
    CudaDevice device(0);
    const Storage storage(1000, &device), pinned = Storage::pinned(10, device);
    const std::unique_ptr<Mark> mark = device.mark();
    EXPECT_GT(cuda_shim::live_allocations(), before);
  }
  EXPECT_EQ(cuda_shim::live_allocations(), before);
  EXPECT_EQ(cuda_shim::live_handles(), 0);
}

TEST_F(CudaDeviceFailures, OutOfMemorySaysHowMuchIsFree) {
  cuda_shim::set_device_memory(1 << 20);
  CudaDevice device(0);
  EXPECT_THAT(message_of([&] { Storage storage(2 << 20, &device); }),
              HasSubstr("could not allocate 2097152 bytes, 1048576 of 1048576 are free"));
}

}  // namespace
}  // namespace synthesizer::cuda
