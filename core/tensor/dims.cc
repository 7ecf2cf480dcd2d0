#include "core/tensor/dims.h"

#include "core/base/error.h"
#include "core/tensor/dtype.h"

namespace synthesizer {

std::string_view to_string(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "f32";
    case DType::kFloat64:
      return "f64";
    case DType::kBFloat16:
      return "bf16";
    case DType::kInt32:
      return "i32";
    case DType::kInt64:
      return "i64";
  }
  fail("unknown dtype {}", static_cast<int>(dtype));
}

Shape::Shape(std::vector<Dim> dims) : dims_(std::move(dims)) {
  for (size_t i = 0; i < dims_.size(); ++i) {
    CHECK(dims_[i].size >= 1, "dimension {} has size {}", dims_[i].name, dims_[i].size);
    for (size_t j = 0; j < i; ++j) CHECK(dims_[i].name != dims_[j].name, "{} appears twice", dims_[i].name);
  }
}

int Shape::find(std::string_view name) const {
  for (size_t i = 0; i < dims_.size(); ++i)
    if (dims_[i].name == name) return static_cast<int>(i);
  return -1;
}

size_t Shape::index(std::string_view name) const {
  const int i = find(name);
  CHECK(i >= 0, "no dimension {} in {}", name, to_string());
  return static_cast<size_t>(i);
}

int64_t Shape::elements() const {
  int64_t n = 1;
  for (const Dim& dim : dims_) n *= dim.size;
  return n;
}

std::vector<int64_t> Shape::strides() const {
  std::vector<int64_t> strides(dims_.size());
  int64_t stride = 1;
  for (size_t i = dims_.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= dims_[i].size;
  }
  return strides;
}

DimNames Shape::names() const {
  DimNames names;
  for (const Dim& dim : dims_) names.push_back(dim.name);
  return names;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (const Dim& dim : dims_) text += fmt::format("{}{} {}", text.size() > 1 ? ", " : "", dim.name, dim.size);
  return text + "]";
}

Shape Shape::with_size(std::string_view name, int64_t size) const {
  std::vector<Dim> dims = dims_;
  dims[index(name)].size = size;
  return Shape(std::move(dims));
}

Shape Shape::with_name(std::string_view from, std::string_view to) const {
  std::vector<Dim> dims = dims_;
  dims[index(from)].name = to;
  return Shape(std::move(dims));
}

Shape Shape::without(std::string_view name) const {
  std::vector<Dim> dims = dims_;
  dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(index(name)));
  return Shape(std::move(dims));
}

}  // namespace synthesizer
