// A tensor of doubles with named dims, for naive references: slow, obvious, and independent of the kernels.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/graph/leaf.h"
#include "core/graph/placement.h"

namespace synthesizer {

// Where an element is: an index for each name. Names that a tensor has not are ignored by it. It holds no names of its
// own: they are a shape's, or literals, and must stay. (References visit every element: an index allocates nothing.)
class Index {
 public:
  Index() = default;
  Index(std::initializer_list<std::pair<std::string_view, int64_t>> names) {
    for (const auto& [name, i] : names) (*this)[name] = i;
  }
  // 0 where the name is new.
  int64_t& operator[](std::string_view name);
  int64_t at(std::string_view name) const;

 private:
  struct Entry {
    std::string_view name;
    int64_t i = 0;
  };
  std::array<Entry, 10> entries_;
  size_t count_ = 0;
};

struct Tensor {
  Tensor() = default;
  explicit Tensor(Shape tensor_shape, double value = 0)
      : shape(std::move(tensor_shape)), data(static_cast<size_t>(shape.elements()), value) {}

  double& operator()(const Index& index) { return data[offset(index)]; }
  double operator()(const Index& index) const { return data[offset(index)]; }
  size_t offset(const Index& index) const;

  Shape shape;
  std::vector<double> data;
};

// Calls `visit` for every index of the shape, row-major.
void each(const Shape& shape, const std::function<void(const Index&)>& visit);
// A tensor from a function of the index.
Tensor tabulate(const Shape& shape, const std::function<double(const Index&)>& value);
// The index with one more name.
Index with(Index index, std::string_view name, int64_t i);

// Numbers in [0, 1), a pure function of the two.
double random01(uint64_t stream, uint64_t element);

// What each of `ranks` ranks holds of `whole` under the placement: blocks, copies, or random parts whose sum or maximum
// is the value. combine() is its inverse; copies that should be equal and are not give an empty tensor.
std::vector<Tensor> place(const Tensor& whole, const Placement& placement, int ranks, uint64_t seed);
Tensor combine(const std::vector<Tensor>& parts, const Placement& placement);

// "" if max|a−b| <= tolerance · max(1, max|b|), else what is wrong where.
std::string difference(const Tensor& got, const Tensor& expected, double tolerance);

}  // namespace synthesizer
