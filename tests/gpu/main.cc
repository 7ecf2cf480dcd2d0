// The main of the tests that run on a GPU: without one they fail at once, and say why. Under another name than
// gpu_tests it is the program itself: so a bundle has the code of both, most of which is the same, once.
#include <gmock/gmock.h>

#include <filesystem>
#include <iostream>

#include "core/kernels/cuda/runtime/cuda_device.h"

int program_main(int argc, char** argv);  // launch/main.cc

int main(int argc, char** argv) {
  if (std::filesystem::path(argv[0]).filename() != "gpu_tests") return program_main(argc, argv);
  ::testing::InitGoogleMock(&argc, argv);
  std::string why = "none was found";
  if (!GTEST_FLAG_GET(list_tests) && synthesizer::cuda::device_count(&why) == 0) {
    std::cerr << "gpu_tests: no GPU: " << why << "\n";
    return 1;
  }
  return RUN_ALL_TESTS();
}
