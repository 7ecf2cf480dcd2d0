// Named dimensions and shapes. A tensor is dense and row-major in the order of its dims; a name is unique in a shape,
// and a size belongs to the tensor, not to the name.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace synthesizer {

struct Dim {
  std::string name;
  int64_t size = 0;
  bool operator==(const Dim&) const = default;
};

// A dimension's name; calling it with a size gives a Dim: kModel(512).
struct DimName {
  std::string name;
  Dim operator()(int64_t size) const { return {name, size}; }
  operator const std::string&() const { return name; }
  bool operator==(const DimName&) const = default;
};

using DimNames = std::vector<std::string>;

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Dim> dims) : Shape(std::vector<Dim>(dims)) {}
  // Throws Error if a name appears twice or a size is below 1.
  explicit Shape(std::vector<Dim> dims);

  const std::vector<Dim>& dims() const { return dims_; }
  size_t rank() const { return dims_.size(); }
  bool has(std::string_view name) const { return find(name) >= 0; }
  // Index of the dim, or -1.
  int find(std::string_view name) const;
  // Index of the dim; throws Error naming the shape if it is not there.
  size_t index(std::string_view name) const;
  int64_t size(std::string_view name) const { return dims_[index(name)].size; }
  // 1 for a scalar.
  int64_t elements() const;
  // Row-major, in elements.
  std::vector<int64_t> strides() const;
  DimNames names() const;
  // "[batch 8, length 512]"
  std::string to_string() const;
  // The same shape with one dim of another size, or renamed.
  Shape with_size(std::string_view name, int64_t size) const;
  Shape with_name(std::string_view from, std::string_view to) const;
  Shape without(std::string_view name) const;

  bool operator==(const Shape&) const = default;

 private:
  std::vector<Dim> dims_;
};

// The names that models use. Those sized by position (kPosition, kMemoryPosition) are never mapped to a mesh axis.
inline const DimName kBatch{"batch"};
inline const DimName kLength{"length"};
inline const DimName kMemoryLength{"memory_length"};
inline const DimName kPosition{"position"};
inline const DimName kMemoryPosition{"memory_position"};
inline const DimName kModel{"model"};
inline const DimName kHeads{"heads"};
inline const DimName kHead{"head"};
inline const DimName kFf{"ff"};
inline const DimName kVocab{"vocab"};
inline const DimName kRank{"rank"};
inline const DimName kFactorA{"factor_a"};
inline const DimName kFactorB{"factor_b"};
inline const DimName kBuckets{"buckets"};
inline const DimName kParts{"parts"};
inline const DimName kClasses{"classes"};
inline const DimName kSteps{"steps"};

}  // namespace synthesizer
