#include "core/train/train_step.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/graph/report.h"

namespace synthesizer {
namespace {

// The rows of `from` that `to` has, from `first_row` of as many as fit on.
template <typename From, typename To>
void copy(std::span<const From> from, std::span<To> to, int64_t first_row, const Shape& shape, const char* name) {
  const auto row =
      shape.rank() == 0 || shape.dims()[0].size == 0 ? 0 : to.size() / static_cast<size_t>(shape.dims()[0].size);
  const size_t begin = static_cast<size_t>(first_row) * row;
  CHECK(begin + to.size() <= from.size() && (row == 0 || from.size() % to.size() == 0),
        "{}: the batch has {} values, the program takes {} from row {} on", name, from.size(), to.size(), first_row);
  std::copy(from.begin() + static_cast<std::ptrdiff_t>(begin),
            from.begin() + static_cast<std::ptrdiff_t>(begin + to.size()), to.begin());
}

template <typename To, typename From>
void feed_input(Program& program, const char* name, std::span<const From> values, int64_t first_row) {
  if (program.has_input(name)) copy(values, program.input<To>(name), first_row, program.input_type(name).shape, name);
}

// Documents of the targets and the place of each target in its own.
void feed_documents(Program& program, std::span<const int32_t> segments, int64_t first_row) {
  if (!program.has_input("target_segments")) return;
  const std::span<int32_t> numbers = program.input<int32_t>("target_segments");
  if (segments.empty())
    std::fill(numbers.begin(), numbers.end(), 1);
  else
    feed_input<int32_t>(program, "target_segments", segments, first_row);
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

void feed(Program& program, const Batch& batch, int64_t first_row) {
  feed_input<int32_t>(program, "inputs", batch.inputs, first_row);
  feed_input<int32_t>(program, "decoder_inputs", batch.decoder_inputs, first_row);
  feed_input<int32_t>(program, "targets", batch.targets, first_row);
  if (program.has_input("input_mask")) {
    feed_input<int32_t>(program, "input_mask", batch.inputs, first_row);
    for (int32_t& live : program.input<int32_t>("input_mask")) live = live == 0 ? 0 : 1;
  }
  if (program.has_input("weights") && program.input_type("weights").dtype == DType::kFloat64)
    feed_input<double>(program, "weights", batch.weights, first_row);
  else
    feed_input<float>(program, "weights", batch.weights, first_row);
  feed_scalar(program, "denominator", batch.denominator);
  feed_documents(program, batch.segments, first_row);
}

namespace {

int64_t largest_arena(const StepGraphs& graphs, const KernelTable& kernels) {
  int64_t most = 0;
  for (const auto& graph : graphs.graphs) most = std::max(most, Program::arena_needed(*graph, kernels));
  return most;
}

}  // namespace

TrainStep::TrainStep(StepGraphs graphs, const OptimizerConfig& optimizer, const KernelTable& kernels,
                     const AxisCommunicators& communicators)
    : graphs_(std::move(graphs)),
      optimizer_(optimizer),
      store_(graphs_.graphs, kernels.device()),
      arena_(largest_arena(graphs_, kernels), kernels.device()) {
  for (const auto& graph : graphs_.graphs)
    programs_.push_back(std::make_unique<Program>(*graph, kernels, communicators, store_, &arena_));
}

std::vector<Program*> TrainStep::programs() {
  std::vector<Program*> all;
  for (const auto& program : programs_) all.push_back(program.get());
  return all;
}

int64_t TrainStep::product_flops() const {
  int64_t flops = 0;
  for (const size_t graph : graphs_.order) flops += synthesizer::product_flops(*graphs_.graphs[graph]);
  return flops;
}

Program& TrainStep::prepare(size_t micro_batch, const Feed& write, int64_t step, double learning_rate) {
  Program& program = *programs_[graphs_.order[micro_batch]];
  write(program, static_cast<int64_t>(micro_batch));
  if (program.has_input("step")) program.input<int64_t>("step")[0] = step;
  if (program.has_input(kMicroBatch)) program.input<int64_t>(kMicroBatch)[0] = static_cast<int64_t>(micro_batch);
  feed_scalar(program, kLearningRate, learning_rate);
  feed_scalar(program, kSecondMomentDecay, second_moment_decay(optimizer_.adafactor, step));
  return program;
}

namespace {

// The rows of each micro-batch lie one after the other in the rank's batch.
TrainStep::Feed feed_from(const Batch& batch) {
  return [&batch](Program& program, int64_t micro_batch) {
    const int64_t rows = program.input_type("targets").shape.size(kBatch.name);
    feed(program, batch, micro_batch * rows);
  };
}

}  // namespace

std::optional<NonFinite> TrainStep::explain(const Batch& batch, int64_t step, double learning_rate,
                                            Communicator& world) {
  for (size_t i = 0; i < graphs_.order.size(); ++i) {
    std::optional<NonFinite> found = find_nonfinite(prepare(i, feed_from(batch), step, learning_rate), world);
    if (!found) continue;
    if (graphs_.order.size() > 1 && !found->persistent)
      found->text += fmt::format(" in micro-batch {} of {}", i + 1, graphs_.order.size());
    return found;
  }
  return std::nullopt;
}

StepResult TrainStep::run(const Batch& batch, int64_t step, double learning_rate) {
  return run(feed_from(batch), step, learning_rate);
}

StepResult TrainStep::run(const Feed& write, int64_t step, double learning_rate) {
  for (size_t i = 0; i < graphs_.order.size(); ++i) prepare(i, write, step, learning_rate).run();
  Program& last = program();
  StepResult result;
  result.loss = scalar(last, "loss");
  result.log_perplexity = scalar(last, "nll_sum") / scalar(last, "weight_sum");
  result.gradient_norm = scalar(last, "gradient_norm");
  result.finite = scalar(last, "finite") != 0;
  return result;
}

}  // namespace synthesizer
