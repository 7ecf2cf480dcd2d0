// What tests of the device ask of the stand-in, where they run on it: test_kernels.cc,
// tests/support/gpu_test_kernels.cc.
#pragma once

namespace synthesizer::cuda {

// Fails the test if anything was done since the last call that a capture forbids; a GPU says so itself.
void check_captures();

}  // namespace synthesizer::cuda
