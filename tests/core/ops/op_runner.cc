#include "tests/core/ops/op_runner.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/tensor/bfloat16.h"

namespace synthesizer {
namespace {

template <typename T>
void convert(const std::vector<double>& from, T* to) {
  for (size_t i = 0; i < from.size(); ++i) to[i] = static_cast<T>(from[i]);
}
void convert(const std::vector<double>& from, BFloat16* to) {
  for (size_t i = 0; i < from.size(); ++i) to[i] = to_bfloat16(static_cast<float>(from[i]));
}

template <typename Read>
Tensor read(const ValueType& type, Read read_as) {
  Tensor result(type.shape);
  const auto copy = [&](const auto* from) { result.data.assign(from, from + type.shape.elements()); };
  switch (type.dtype) {
    case DType::kFloat32:
      copy(read_as(float()));
      break;
    case DType::kFloat64:
      copy(read_as(double()));
      break;
    case DType::kBFloat16: {
      const BFloat16* from = read_as(BFloat16());
      for (double& value : result.data) value = to_float(*from++);
      break;
    }
    case DType::kInt32:
      copy(read_as(int32_t()));
      break;
    case DType::kInt64:
      copy(read_as(int64_t()));
      break;
  }
  return result;
}

}  // namespace

OpRunner::OpRunner(Graph& graph, const AxisCommunicators& communicators, KernelCounters* counters, int threads)
    : kernels_(make_test_kernels(threads, counters)), store_(std::make_unique<StateStore>(graph, kernels_->device())) {
  store_->initialize(kStateSeed);
  program_ = std::make_unique<Program>(graph, *kernels_, communicators, *store_);
}

void OpRunner::set(const std::string& name, const Tensor& value) {
  const StateTensor* state = store_->find(name);
  const ValueType type = state ? state->type : program_->input_type(name);
  CHECK(type.shape == value.shape, "{}: got {}, expected {}", name, value.shape.to_string(), type.shape.to_string());
  const auto set_as = [&]<typename T>(T) {
    if (state == nullptr) return convert(value.data, program_->input<T>(name).data());
    std::vector<T> converted(value.data.size());
    convert(value.data, converted.data());
    upload(store_->device(), store_->address(*state), converted.data(), type.bytes());
    store_->write([](const StateTensor&, std::byte*) {});  // what is derived follows
  };
  switch (type.dtype) {
    case DType::kFloat32:
      return set_as(float());
    case DType::kFloat64:
      return set_as(double());
    case DType::kBFloat16:
      return set_as(BFloat16());
    case DType::kInt32:
      return set_as(int32_t());
    case DType::kInt64:
      return set_as(int64_t());
  }
}

Tensor OpRunner::get(const std::string& name) {
  if (const StateTensor* state = store_->find(name)) {
    std::vector<std::byte> space;
    const std::byte* data = store_->on_host(*state, space);
    return read(state->type, [&](auto as) { return reinterpret_cast<const decltype(as)*>(data); });
  }
  return read(program_->output_type(name), [&](auto as) { return program_->output<decltype(as)>(name).data(); });
}

std::vector<Value> add_leaves(Graph& graph, const OpCase& row, DType dtype, std::span<const Shape> shapes) {
  std::vector<Value> values;
  for (size_t i = 0; i < row.inputs.size(); ++i) {
    const OpInput& in = row.inputs[i];
    const DType own = row.wide.contains(in.name) ? compute_type(dtype) : dtype;
    const DType type = in.dtype == DType::kFloat64 ? own : in.dtype;
    if (in.persistent && in.dtype == DType::kBFloat16)
      values.push_back(gathered(graph, in.name, type, shapes[i]));  // of others initial values are drawn
    else
      values.push_back(in.persistent ? state(graph, in.name, type, shapes[i], {})
                                     : input(graph, in.name, type, shapes[i]));
  }
  return values;
}

std::vector<Shape> whole_shapes(const OpCase& row) {
  std::vector<Shape> shapes;
  for (const OpInput& in : row.inputs) shapes.push_back(in.shape);
  return shapes;
}

void mark_outputs(Graph& graph, std::span<const Value> values) {
  for (size_t i = 0; i < values.size(); ++i) graph.mark_output(fmt::format("y{}", i), values[i]);
}

size_t count(const Graph& graph, std::string_view op) {
  return static_cast<size_t>(std::count_if(graph.nodes().begin(), graph.nodes().end(),
                                           [&](const Node& node) { return node.op->name() == op; }));
}

std::vector<Tensor> run_once(OpRunner& runner, const OpCase& row, std::span<const Tensor> inputs, size_t outputs) {
  for (size_t i = 0; i < row.inputs.size(); ++i) runner.set(row.inputs[i].name, inputs[i]);
  runner.run();
  std::vector<Tensor> results;
  for (size_t i = 0; i < outputs; ++i) results.push_back(runner.get(fmt::format("y{}", i)));
  return results;
}

}  // namespace synthesizer
