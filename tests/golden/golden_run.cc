#include "tests/golden/golden_run.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/train/step_graph.h"
#include "core/train/train_step.h"
#include "dist/parallel.h"
#include "dist/thread_communicator.h"
#include "tests/support/test_kernels.h"

namespace synthesizer::golden {
namespace {

constexpr std::string_view kGradient = "gradient.";

// The case's batch, filled up to a multiple of the ranks with rows of weight 0, whole.
struct Inputs {
  BatchShape shape;
  std::map<std::string, std::vector<double>> values;  // by input; the first dim is the batch
};

std::vector<double> fill_rows(const Array& array, int64_t rows, double fill) {
  std::vector<double> values = array.values;
  values.resize(values.size() / static_cast<size_t>(array.shape[0]) * static_cast<size_t>(rows), fill);
  return values;
}

Inputs make_inputs(const Case& golden, int ranks) {
  const Array &inputs = golden.at("inputs"), &targets = golden.at("targets"), &lengths = golden.at("input_lengths");
  const int64_t rows = (targets.shape[0] + ranks - 1) / ranks * ranks;
  const bool classes = golden.config.structure == Structure::kEncoderClassifier;  // one target an example, 0 too
  const int64_t per_row = classes ? 1 : targets.shape[1];
  Inputs in{{.batch = rows, .source_length = inputs.shape[1], .target_length = per_row}, {}};
  const auto source = static_cast<size_t>(inputs.shape[1]), target = static_cast<size_t>(per_row);

  in.values["inputs"] = fill_rows(inputs, rows, 0);
  std::vector<double> mask(static_cast<size_t>(rows) * source, 1);
  for (size_t row = 0; row < lengths.values.size(); ++row)
    for (size_t j = static_cast<size_t>(lengths.values[row]); j < source; ++j) mask[row * source + j] = 0;
  in.values["input_mask"] = mask;

  const std::vector<double> wanted = fill_rows(targets, rows, 0);
  std::vector<double> shifted(wanted.size()), weights(wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    shifted[i] = i % target == 0 ? 0 : wanted[i - 1];
    weights[i] = i < targets.values.size() && (classes || wanted[i] != 0) ? 1 : 0;
  }
  in.values["targets"] = wanted;
  in.values["decoder_inputs"] = shifted;
  in.values["weights"] = weights;
  in.values["denominator"] = {std::accumulate(weights.begin(), weights.end(), 0.0)};
  return in;
}

template <typename T>
void write(std::span<T> to, const std::vector<double>& values, size_t begin) {
  CHECK(begin + to.size() <= values.size(), "{} values from {} on, of {}", to.size(), begin, values.size());
  for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<T>(values[begin + i]);
}

// This rank's rows of everything.
template <typename T>
void feed(Program& program, const Inputs& in, int rank, int ranks) {
  for (const auto& [name, values] : in.values) {
    if (!program.has_input(name)) continue;
    const size_t begin =
        values.size() == 1 ? 0 : values.size() / static_cast<size_t>(ranks) * static_cast<size_t>(rank);
    if (program.input_type(name).dtype == DType::kInt32)
      write(program.input<int32_t>(name), values, begin);
    else
      write(program.input<T>(name), values, begin);
  }
}

// Whether the array is the tensor, or the tensor with neighbouring dims merged: the same elements in the same order.
bool is_merged(const Shape& tensor, const std::vector<int64_t>& array) {
  const std::vector<Dim>& dims = tensor.dims();
  size_t next = 0;
  for (size_t i = 0; i < array.size(); ++i) {
    if (next == dims.size()) return false;
    int64_t merged = dims[next++].size;
    while (next < dims.size()) {
      const bool spare = dims[next].size == 1 && dims.size() - next > array.size() - i - 1;
      if (merged >= array[i] && !spare) break;
      merged *= dims[next++].size;
    }
    if (merged != array[i]) return false;
  }
  return next == dims.size();
}

// Every tensor of the store has its values in the case, and the case has no others.
template <typename T>
void load_parameters(StateStore& store, const Case& golden, uint32_t nudge) {
  size_t parameters = 0;
  for (const auto& [name, array] : golden.tensors) parameters += name.starts_with("param.") ? 1 : 0;
  CHECK(parameters == store.tensors().size(), "{}: {} parameters in the case, {} in the model", golden.name, parameters,
        store.tensors().size());
  store.write([&](const StateTensor& tensor, std::byte* data) {
    const Array& array = golden.at("param." + tensor.name);
    CHECK(is_merged(tensor.type.shape, array.shape), "{}: {} is {}, of {} in the case", golden.name, tensor.name,
          tensor.type.shape.to_string(), fmt::join(array.shape, " x "));
    std::vector<double> values = array.values;
    for (size_t i = 0; nudge != 0 && i < values.size(); ++i) {
      const uint32_t bits = philox({static_cast<uint32_t>(i), nudge, 0, 0}, {})[0];
      values[i] *= 1 + (uniform_float(bits) - 0.5) / 4096;
    }
    write(std::span(reinterpret_cast<T*>(data), values.size()), values, 0);
  });
}

template <typename T>
std::vector<double> output(Program& program, const std::string& name) {
  const auto values = program.output<T>(name);
  return {values.begin(), values.end()};
}

template <typename T>
Result run_rank(const Case& golden, const Inputs& in, const Setting& setting, Communicator& world) {
  const std::unique_ptr<KernelTable> kernels = make_test_kernels();
  StepGraphOptions options;
  options.for_gpu = kernels->device() != nullptr;
  options.model = golden.config;
  options.shape = in.shape;
  options.loss = golden.loss;
  options.dtype = setting.dtype;
  options.bfloat16 = setting.bfloat16;
  options.input_mask = true;
  options.passes = setting.passes;
  options.update = false;
  options.gradient_outputs = true;
  options.logits = true;
  const Mesh mesh({.axes = {{"data", setting.ranks}}}, world);
  const auto graph = training_graph(options, partition_for(mesh, {{{"batch", "data"}}}));
  StateStore store(*graph, kernels->device());
  load_parameters<T>(store, golden, setting.nudge);
  Program program(*graph, *kernels, axis_communicators(mesh), store);
  feed<T>(program, in, world.rank(), world.size());
  program.run();

  Result result;
  result.loss = output<T>(program, "loss").at(0);
  result.logits = output<T>(program, "logits");
  result.logits.resize(golden.at("logits").values.size());
  for (const auto& [name, ref] : graph->outputs())
    if (name.starts_with(kGradient)) result.gradients[name.substr(kGradient.size())] = output<T>(program, name);
  return result;
}

}  // namespace

std::string Setting::to_string() const {
  return fmt::format("{}, {} ranks, passes {}", bfloat16 ? "bf16" : synthesizer::to_string(dtype), ranks,
                     passes ? "on" : "off");
}

std::vector<Result> run(const Case& golden, const Setting& setting) {
  const Inputs in = make_inputs(golden, setting.ranks);
  std::vector<Result> results(static_cast<size_t>(setting.ranks));
  run_ranks(setting.ranks, [&](Communicator& world) {
    Result& result = results[static_cast<size_t>(world.rank())];
    result = setting.dtype == DType::kFloat64 ? run_rank<double>(golden, in, setting, world)
                                              : run_rank<float>(golden, in, setting, world);
  });
  return results;
}

}  // namespace synthesizer::golden
