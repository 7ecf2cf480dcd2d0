// Runs a graph once through Program and the kernels under test, with tensors of doubles in and out.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/program.h"
#include "tests/core/ops/op_case.h"
#include "tests/support/test_kernels.h"

namespace synthesizer {

// That persistent leaves are drawn with.
inline constexpr uint64_t kStateSeed = 7;

class OpRunner {
 public:
  // The graph must outlive the runner.
  explicit OpRunner(Graph& graph, const AxisCommunicators& communicators = {}, KernelCounters* counters = nullptr,
                    int threads = 1);

  // Values of inputs and persistent leaves, converted to their types.
  void set(const std::string& name, const Tensor& value);
  void run() { program_->run(); }
  // Of an output or a persistent leaf.
  Tensor get(const std::string& name);

 private:
  std::unique_ptr<KernelTable> kernels_;
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<Program> program_;
};

// The leaves of a row, of the floating-point type `dtype`, with these shapes.
std::vector<Value> add_leaves(Graph& graph, const OpCase& row, DType dtype, std::span<const Shape> shapes);
std::vector<Shape> whole_shapes(const OpCase& row);
// Marks them as outputs "y0", "y1"…
void mark_outputs(Graph& graph, std::span<const Value> values);
// Nodes of the op of this name.
size_t count(const Graph& graph, std::string_view op);
std::vector<Tensor> run_once(OpRunner& runner, const OpCase& row, std::span<const Tensor> inputs, size_t outputs);

}  // namespace synthesizer
