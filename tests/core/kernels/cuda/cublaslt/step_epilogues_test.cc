// Which epilogues of cuBLASLt's a training step uses, by what the library does with NaN and with masks.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string_view>

#include "core/train/train_step.h"
#include "tests/core/kernels/cuda/cublaslt/fake_cublaslt.h"
#include "tests/core/train/small_step.h"
#include "tests/support/test_kernels.h"

namespace synthesizer {
namespace {

bool says(const char* variable, std::string_view value) {
  const char* text = std::getenv(variable);
  return text != nullptr && text == value;
}

TEST(StepEpilogues, AreTheLibrarysWhereItDoesThemRight) {
  StepGraphOptions options = small_step("D", OptimizerKind::kAdamW, 4);
  options.for_gpu = true;
  const std::unique_ptr<KernelTable> kernels = make_test_kernels();
  void* const library = dlopen(FAKE_CUBLASLT, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  const auto fake = reinterpret_cast<FakeCublasLtControl (*)()>(dlsym(library, "fake_cublaslt_control"))();
  TrainStep step(training_graphs(options, nullptr), options.optimizer, *kernels, {});
  step.state().initialize(1);
  const std::vector<int32_t> inputs(4 * 8, 3), targets(4 * 6, 5);
  const std::vector<float> weights(targets.size(), 1.0f);
  // What is found out of the library was when kernels were made.
  const auto used = [&](unsigned epilogue) { return fake.epilogues(epilogue); };
  const int relu_bias = used(CUBLASLT_EPILOGUE_RELU_BIAS), bias = used(CUBLASLT_EPILOGUE_BIAS);
  const int relu_aux = used(CUBLASLT_EPILOGUE_RELU_AUX), drelu = used(CUBLASLT_EPILOGUE_DRELU);
  step.run({inputs, targets, targets, weights, 24, {}}, 0, 0.01);
  const bool keeps_nan = !says("FAKE_CUBLASLT_NAN", "swallowed"), in_order = !says("FAKE_CUBLASLT_BITS", "reversed");
  EXPECT_EQ(used(CUBLASLT_EPILOGUE_RELU_BIAS) > relu_bias, keeps_nan);  // D's hidden layer
  EXPECT_EQ(used(CUBLASLT_EPILOGUE_BIAS) > bias, !keeps_nan);
  EXPECT_EQ(used(CUBLASLT_EPILOGUE_RELU_AUX) > relu_aux, keeps_nan && in_order);  // feed-forward
  EXPECT_EQ(used(CUBLASLT_EPILOGUE_DRELU) > drelu, in_order);
}

}  // namespace
}  // namespace synthesizer
