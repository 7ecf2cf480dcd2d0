#include "core/tensor/fill.h"

#include <algorithm>

#include "core/base/error.h"

namespace synthesizer {
namespace {

template <typename T>
void fill_integers(const Initializer& initializer, std::string_view name, std::span<const int64_t> sizes, T* out) {
  const auto value = static_cast<T>(initializer.scale);
  CHECK(initializer.kind == Initializer::Kind::kConstant && static_cast<double>(value) == initializer.scale,
        "{}: {} tensors start as integer constants", name, to_string(kDTypeOf<T>));
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  std::fill_n(out, count, value);
}

}  // namespace

void fill_initial(const Initializer& initializer, uint64_t seed, std::string_view name,
                  std::span<const int64_t> whole_shape, std::span<const int64_t> begins, std::span<const int64_t> sizes,
                  DType dtype, void* out) {
  switch (dtype) {
    case DType::kFloat32:
      return fill_initial(initializer, seed, name, whole_shape, begins, sizes, static_cast<float*>(out));
    case DType::kFloat64:
      return fill_initial(initializer, seed, name, whole_shape, begins, sizes, static_cast<double*>(out));
    case DType::kBFloat16:
      break;  // no leaf between steps is: weights and their state are calculated in float32
    case DType::kInt32:
      return fill_integers(initializer, name, sizes, static_cast<int32_t*>(out));
    case DType::kInt64:
      return fill_integers(initializer, name, sizes, static_cast<int64_t*>(out));
  }
  fail("{}: no initial values of type {}", name, to_string(dtype));
}

}  // namespace synthesizer
