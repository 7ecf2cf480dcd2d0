#include "core/train/train_step.h"

#include <algorithm>

#include "core/base/error.h"

namespace synthesizer {
namespace {

template <typename T>
void copy(std::span<const T> from, std::span<T> to, const char* name) {
  CHECK(from.size() == to.size(), "{}: the batch has {} values, the program takes {}", name, from.size(), to.size());
  std::copy(from.begin(), from.end(), to.begin());
}

void feed_tokens(Program& program, const char* name, std::span<const int32_t> values) {
  if (program.has_input(name)) copy(values, program.input<int32_t>(name), name);
}

// Documents of the targets and the place of each target in its own.
void feed_documents(Program& program, std::span<const int32_t> segments) {
  if (!program.has_input("target_segments")) return;
  const std::span<int32_t> numbers = program.input<int32_t>("target_segments");
  if (segments.empty())
    std::fill(numbers.begin(), numbers.end(), 1);
  else
    copy(segments, numbers, "target_segments");
  if (!program.has_input("target_positions")) return;
  const auto length = static_cast<size_t>(program.input_type("target_positions").shape.size("length"));
  const std::span<int32_t> positions = program.input<int32_t>("target_positions");
  for (size_t i = 0; i < positions.size(); ++i)
    positions[i] = i % length == 0 || numbers[i] != numbers[i - 1] ? 0 : positions[i - 1] + 1;
}

}  // namespace

void feed_scalar(Program& program, const char* name, double value) {
  if (!program.has_input(name)) return;
  if (program.input_type(name).dtype == DType::kFloat64)
    program.input<double>(name)[0] = value;
  else
    program.input<float>(name)[0] = static_cast<float>(value);
}

double scalar(Program& program, const char* name) {
  if (program.output_type(name).dtype == DType::kFloat64) return program.output<double>(name)[0];
  return program.output<float>(name)[0];
}

void feed(Program& program, const Batch& batch) {
  feed_tokens(program, "inputs", batch.inputs);
  feed_tokens(program, "decoder_inputs", batch.decoder_inputs);
  feed_tokens(program, "targets", batch.targets);
  if (program.has_input("input_mask"))
    std::transform(batch.inputs.begin(), batch.inputs.end(), program.input<int32_t>("input_mask").begin(),
                   [](int32_t id) { return id == 0 ? 0 : 1; });
  if (program.has_input("weights")) {
    if (program.input_type("weights").dtype == DType::kFloat64)
      std::copy(batch.weights.begin(), batch.weights.end(), program.input<double>("weights").begin());
    else
      copy(batch.weights, program.input<float>("weights"), "weights");
  }
  feed_scalar(program, "denominator", batch.denominator);
  feed_documents(program, batch.segments);
}

TrainStep::TrainStep(std::unique_ptr<Graph> graph, const OptimizerConfig& optimizer, const KernelTable& kernels,
                     const AxisCommunicators& communicators)
    : graph_(std::move(graph)),
      optimizer_(optimizer),
      store_(*graph_),
      program_(*graph_, kernels, communicators, store_) {}

void TrainStep::feed_step(int64_t step, double learning_rate) {
  if (program_.has_input("step")) program_.input<int64_t>("step")[0] = step;
  feed_scalar(program_, kLearningRate, learning_rate);
  feed_scalar(program_, kSecondMomentDecay, second_moment_decay(optimizer_.adafactor, step));
}

std::optional<NonFinite> TrainStep::explain(const Batch& batch, int64_t step, double learning_rate,
                                            Communicator& world) {
  feed(program_, batch);
  feed_step(step, learning_rate);
  return find_nonfinite(program_, world);
}

StepResult TrainStep::run(const Batch& batch, int64_t step, double learning_rate) {
  feed(program_, batch);
  return run_fed(step, learning_rate);
}

StepResult TrainStep::run_fed(int64_t step, double learning_rate) {
  feed_step(step, learning_rate);
  program_.run();
  StepResult result;
  result.loss = scalar(program_, "loss");
  result.log_perplexity = scalar(program_, "nll_sum") / scalar(program_, "weight_sum");
  result.gradient_norm = scalar(program_, "gradient_norm");
  result.finite = scalar(program_, "finite") != 0;
  return result;
}

}  // namespace synthesizer
