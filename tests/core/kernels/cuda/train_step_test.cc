// Whole training steps on CUDA's kernels against the CPU's: the same losses and weights, with dropout's masks, the
// optimizers, accumulation and rounding; a state that goes from one device to the other; what is not finite.
#include "core/train/train_step.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/kernels/cpu/cpu_kernels.h"
#include "dist/fake_communicator.h"
#include "tests/core/kernels/cuda/device_check.h"
#include "tests/core/train/small_step.h"
#include "tests/support/test_kernels.h"

namespace synthesizer {
namespace {

constexpr int64_t kBatchSize = 4;

StepGraphOptions options_of(const std::string& attention, OptimizerKind optimizer) {
  StepGraphOptions options = small_step(attention, optimizer, kBatchSize);
  options.model.dropout = 0.25;
  options.optimizer.clip_norm = 0.5;
  options.for_gpu = true;  // as on every GPU
  return options;
}

std::vector<double> values_of(StateStore& store) {
  std::vector<double> all;
  std::vector<std::byte> space;
  for (const StateTensor& tensor : store.tensors()) {
    const auto* data = reinterpret_cast<const float*>(store.on_host(tensor, space));
    all.insert(all.end(), data, data + tensor.type.shape.elements());
  }
  return all;
}

// Some tokens, and padding at the end of the last row.
class Tokens {
 public:
  explicit Tokens(const StepGraphOptions& options) {
    const auto fill = [&](std::vector<int32_t>& ids, int64_t length, int64_t from) {
      for (int64_t i = 0; i < options.shape.batch * length; ++i)
        ids.push_back(static_cast<int32_t>(1 + (from + 7 * i * i) % (options.model.vocab - 1)));
      ids.back() = 0;
    };
    fill(inputs_, options.shape.source_length, 3);
    fill(decoder_inputs_, options.shape.target_length, 5);
    fill(targets_, options.shape.target_length, 11);
    for (const int32_t id : targets_) weights_.push_back(id == 0 ? 0.0f : 1.0f);
    batch_ = {.inputs = inputs_, .decoder_inputs = decoder_inputs_, .targets = targets_, .weights = weights_};
    batch_.denominator = static_cast<double>(weights_.size()) - 1;
  }
  const Batch& batch() const { return batch_; }

 private:
  std::vector<int32_t> inputs_, decoder_inputs_, targets_;
  std::vector<float> weights_;
  Batch batch_;
};

// A run of some steps, and what comes out.
struct Training {
  Training(const StepGraphOptions& options, const KernelTable& kernels)
      : batch(options), step(training_graphs(options, nullptr), options.optimizer, kernels, {}) {
    step.state().initialize(3);
  }
  void steps(int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) losses.push_back(step.run(batch.batch(), i, 1e-2).loss);
  }

  Tokens batch;
  TrainStep step;
  std::vector<double> losses;
};

void expect_alike(const StepGraphOptions& options, double tolerance) {
  const CpuKernelTable cpu(1);
  const std::unique_ptr<KernelTable> cuda = make_test_kernels();
  Training expected(options, cpu), got(options, *cuda);
  EXPECT_EQ(values_of(got.step.state()), values_of(expected.step.state()));  // as drawn
  expected.steps(0, 4);
  got.steps(0, 4);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(got.losses[i], expected.losses[i], tolerance) << "step " << i;
  const std::vector<double> a = values_of(got.step.state()), b = values_of(expected.step.state());
  double largest = 0, apart = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(b[i]));
    apart = std::max(apart, std::abs(a[i] - b[i]));
  }
  EXPECT_LE(apart, 20 * tolerance * largest);
  cuda::check_captures();
}

TEST(TrainStepOnCuda, IsThatOfTheCpu) {
  for (const char* attention : {"R+V", "D", "LightConv", "FR"})
    for (const OptimizerKind optimizer : {OptimizerKind::kAdamW, OptimizerKind::kAdafactor}) {
      SCOPED_TRACE(attention);
      expect_alike(options_of(attention, optimizer), 2e-4);
    }
  StepGraphOptions options = options_of("D", OptimizerKind::kAdamW);
  options.model.dropout = 0;  // then relu's gradient is of a product, and by masks
  expect_alike(options, 2e-4);
}

TEST(TrainStepOnCuda, InBFloat16AndMicroBatches) {
  StepGraphOptions options = options_of("R+V", OptimizerKind::kAdamW);
  options.bfloat16 = true;
  expect_alike(options, 3e-2);
  options.model.dropout = 0;
  expect_alike(options, 3e-2);
  options.bfloat16 = false;
  options.accumulation.micro_batches = {2, false};
  expect_alike(options, 2e-4);
}

// What one device has trained the other goes on with.
TEST(TrainStepOnCuda, AStateGoesFromOneDeviceToTheOther) {
  const StepGraphOptions options = options_of("R+V", OptimizerKind::kAdafactor);
  const CpuKernelTable cpu(1);
  const std::unique_ptr<KernelTable> cuda = make_test_kernels();
  Training whole(options, cpu), first(options, *cuda), second(options, cpu);
  whole.steps(0, 4);
  first.steps(0, 2);
  std::vector<std::byte> space;
  second.step.state().write([&](const StateTensor& tensor, std::byte* data) {
    std::memcpy(data, first.step.state().on_host(first.step.state().at(tensor.name), space),
                static_cast<size_t>(tensor.type.bytes()));
  });
  second.steps(2, 4);
  for (size_t i = 0; i < 2; ++i) EXPECT_NEAR(second.losses[i], whole.losses[i + 2], 2e-4);
}

TEST(TrainStepOnCuda, TwoRunsAreEqualToTheBit) {
  const StepGraphOptions options = options_of("R+V", OptimizerKind::kAdamW);
  const std::unique_ptr<KernelTable> cuda = make_test_kernels();
  Training one(options, *cuda), other(options, *cuda);
  one.steps(0, 3);
  other.steps(0, 3);
  EXPECT_EQ(one.losses, other.losses);
  EXPECT_EQ(values_of(one.step.state()), values_of(other.step.state()));
}

TEST(TrainStepOnCuda, NamesWhatIsNotFinite) {
  const StepGraphOptions options = options_of("R", OptimizerKind::kAdamW);
  const std::unique_ptr<KernelTable> cuda = make_test_kernels();
  Training run(options, *cuda);
  run.step.state().write([&](const StateTensor& tensor, std::byte* data) {
    if (tensor.name == "embedding.weight") reinterpret_cast<float*>(data)[5] = std::nanf("");
  });
  const std::vector<double> before = values_of(run.step.state());
  EXPECT_FALSE(run.step.run(run.batch.batch(), 0, 1e-2).finite);
  FakeCommunicator alone(0, 1);
  const auto found = run.step.explain(run.batch.batch(), 0, 1e-2, alone);
  ASSERT_TRUE(found.has_value());
  EXPECT_NE(found->text.find("embedding.weight"), std::string::npos) << found->text;
  const std::vector<double> after = values_of(run.step.state());
  EXPECT_EQ(std::memcmp(after.data(), before.data(), before.size() * sizeof(double)), 0);
}

}  // namespace
}  // namespace synthesizer
