// Runs one op's kernel in every way it may be run and compares it with a reference in double: all floating-point types,
// every variant (instruction sets, numbers of threads: tests/support/test_kernels.h; equal to the bit where promised),
// each output in place of an input as the op's aliases allow (equal to the bit), workspace full of garbage with a guard
// behind it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/graph/kernel.h"
#include "tests/support/test_kernels.h"

namespace synthesizer {

// A tensor with its values in double, rounded to its type.
struct Tensor {
  ValueType type;
  std::vector<double> values;

  double& operator[](int64_t i) { return values[static_cast<size_t>(i)]; }
  double operator[](int64_t i) const { return values[static_cast<size_t>(i)]; }
  int64_t size() const { return static_cast<int64_t>(values.size()); }
};
using Tensors = std::vector<Tensor>;

// Values spread evenly in (low, high), a pure function of `seed`.
Tensor random_tensor(Shape shape, uint64_t seed, double low = -1, double high = 1);
Tensor integers(Shape shape, std::vector<double> values, DType dtype = DType::kInt32);
Tensor scalar(double value, DType dtype = DType::kFloat64);
// Floating-point tensors become `dtype`, their values rounded.
Tensors as_type(Tensors tensors, DType dtype);

// Runs the kernel once; `in_place`: the alias to use, or -1, or all of them at a time (of an op none of whose inputs or
// outputs has two).
inline constexpr int kAllInPlace = -2;
Tensors run_kernel(const KernelTable& table, const Op& op, const Tensors& inputs, int in_place = -1,
                   const AxisCommunicators& communicators = {});

// The expected outputs' values, from the (rounded) inputs and the outputs' shapes (values 0).
using Reference = std::function<void(const Tensors& inputs, Tensors& outputs)>;

struct Tolerance {
  double f32 = 2e-6, f64 = 1e-13;  // of the largest expected value of each output
  // float32: the same bits for variants that say so (float64 always). oneDNN's products do not promise it.
  bool float32_threads_equal = true;
  double bf16 = 0;  // 0: no run in it. Every floating-point input is of it, every sum of the reference is not rounded.
};
void check_kernel(const Op& op, const Tensors& inputs, const Reference& reference, const Tolerance& tolerance = {});

// Walks every index of the dims (the last fastest) and gives the offset of each shape's element.
void for_each_index(const std::vector<Dim>& dims, const std::vector<Shape>& shapes,
                    const std::function<void(const std::vector<int64_t>& offsets)>& visit);

}  // namespace synthesizer
