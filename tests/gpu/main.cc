// The main of the tests that run on a GPU: without one they fail at once, and say why.
#include <gmock/gmock.h>

#include <iostream>

#include "core/kernels/cuda/cuda_device.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  std::string why = "none was found";
  if (!GTEST_FLAG_GET(list_tests) && synthesizer::cuda::device_count(&why) == 0) {
    std::cerr << "gpu_tests: no GPU: " << why << "\n";
    return 1;
  }
  return RUN_ALL_TESTS();
}
