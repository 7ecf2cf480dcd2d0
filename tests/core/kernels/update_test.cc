// The bf16 copies that updates write of parameters: what the op cast makes of them, to the bit, and nothing else of the
// update changes.
#include "core/ops/update.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "core/graph/leaf.h"
#include "core/graph/program.h"
#include "core/ops/cast.h"
#include "tests/support/test_kernels.h"

namespace synthesizer {
namespace {

constexpr DType kF32 = DType::kFloat32;
// Among random numbers: ties of bf16, what it has no room for, and what is no number.
const float kSpecial[] = {0.0f,
                          -0.0f,
                          1.00390625f,
                          1.01171875f,
                          3.4e38f,
                          1e-40,
                          -1e-45f,
                          INFINITY,
                          -INFINITY,
                          std::numeric_limits<float>::quiet_NaN(),
                          std::bit_cast<float>(0x7F800001u)};

// A graph's state after some runs, as bytes, with every float32 tensor set to numbers drawn by its name before.
class StateAfter {
 public:
  StateAfter(Graph& graph, const KernelVariant& variant) : kernels_(variant.make()), store_(graph, kernels_->device()) {
    store_.write([](const StateTensor& tensor, std::byte* data) {
      if (tensor.type.dtype != kF32) return;
      auto* values = reinterpret_cast<float*>(data);
      const int64_t count = tensor.type.shape.elements();
      std::mt19937 random(static_cast<uint32_t>(tensor.name.size()));
      for (int64_t i = 0; i < count; ++i) values[i] = static_cast<float>(random()) * 0x1p-32f;
      if (tensor.name == "w")
        for (int64_t i = 0; i < count; i += 7) values[i] = kSpecial[static_cast<size_t>(i / 7) % std::size(kSpecial)];
    });
    Program program(graph, *kernels_, {}, store_);
    for (int i = 0; i < 2; ++i) program.run();
  }
  std::string bytes(const std::string& name) const {
    const StateTensor& tensor = store_.at(name);
    std::vector<std::byte> space;
    return {reinterpret_cast<const char*>(store_.on_host(tensor, space)), static_cast<size_t>(tensor.type.bytes())};
  }
  // What cast makes of a tensor of the state.
  std::string rounded(const std::string& name) const {
    const StateTensor& from = store_.at(name);
    Graph graph;
    graph.mark_output("y", cast(input(graph, "x", kF32, from.type.shape), DType::kBFloat16));
    StateStore none(graph, kernels_->device());
    Program program(graph, *kernels_, {}, none);
    std::vector<std::byte> space;
    std::memcpy(program.input<float>("x").data(), store_.on_host(from, space), static_cast<size_t>(from.type.bytes()));
    program.run();
    const auto y = program.output<BFloat16>("y");
    return {reinterpret_cast<const char*>(y.data()), y.size_bytes()};
  }

 private:
  std::unique_ptr<KernelTable> kernels_;
  StateStore store_;
};

void add_adamw(Graph& graph, int64_t elements, bool rounds, double apply) {
  const Shape shape{kModel(elements)};
  std::vector<Value> inputs = {parameter(graph, "w", kF32, shape, {})};
  for (const char* name : {"first", "second", "gradient"}) inputs.push_back(state(graph, name, kF32, shape, {}));
  for (const double value : {0.125, 0.5}) inputs.push_back(constant(graph, kF32, {}, value));
  inputs.push_back(state(graph, "step", DType::kInt64, {}, {}));
  inputs.push_back(constant(graph, kF32, {}, apply));
  if (rounds) inputs.push_back(derived(inputs[0]));
  graph.add(std::make_shared<AdamW>(AdamWOptions{0.9, 0.98, 1e-8, 0.01}, true, rounds), inputs);
}

TEST(AdamWWithACopy, IsAdamWAndACast) {
  for (const KernelVariant& variant : kernel_variants())
    for (const int64_t elements : {1, 31, 1023, 1024, 1025, 40001})
      for (const double apply : {1.0, 0.0}) {
        SCOPED_TRACE(fmt::format("{}, {}, apply {}", variant.name, elements, apply));
        Graph plain, with_copy;
        add_adamw(plain, elements, false, apply);
        add_adamw(with_copy, elements, true, apply);
        const StateAfter expected(plain, variant), got(with_copy, variant);
        for (const char* name : {"w", "first", "second"}) EXPECT_TRUE(got.bytes(name) == expected.bytes(name)) << name;
        EXPECT_TRUE(got.bytes("w.bf16") == expected.rounded("w"));
      }
}

TEST(AssignToACopy, IsACast) {
  for (const KernelVariant& variant : kernel_variants())
    for (const double apply : {1.0, 0.0}) {
      Graph graph;
      const Shape shape{kModel(40001)};
      const Value w = parameter(graph, "w", kF32, shape, {}), copy = derived(w);
      const Value value = state(graph, "value", kF32, shape, {}), on = constant(graph, kF32, {}, apply);
      assign(w, value, on);
      assign(copy, value, on);
      const StateAfter run(graph, variant);
      EXPECT_EQ(run.bytes("w") == run.bytes("value"), apply != 0);
      EXPECT_TRUE(run.bytes("w.bf16") == run.rounded("w"));
    }
}

}  // namespace
}  // namespace synthesizer
