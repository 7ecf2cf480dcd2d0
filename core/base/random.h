// Initial values of tensors. Each element's value is a pure function of (seed, the tensor's name, the element's index
// in the whole tensor), so any rank writes any slice, and no split, order or number of threads changes a value.
//
// Philox with key = seed and counter = (index / 2, attempt, hash of the name) gives 128 bits for two elements;
// everything is computed in double and rounded once. Names to recipes (Glorot, fan-in) is core/attention's; dtypes are
// core/tensor/fill.h's.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace synthesizer {

struct Initializer {
  enum class Kind {
    kConstant,         // scale
    kUniform,          // in [-scale, scale)
    kNormal,           // of standard deviation scale
    kTruncatedNormal,  // the same, drawn again while beyond two standard deviations: its own is 0.8796 scale
  };
  Kind kind = Kind::kConstant;
  double scale = 0;

  static constexpr Initializer constant(double value) { return {Kind::kConstant, value}; }
  static constexpr Initializer uniform(double limit) { return {Kind::kUniform, limit}; }
  static constexpr Initializer normal(double deviation) { return {Kind::kNormal, deviation}; }
  static constexpr Initializer truncated_normal(double deviation) { return {Kind::kTruncatedNormal, deviation}; }
  bool operator==(const Initializer&) const = default;
};

// Writes the slice [begins, begins + sizes) of a tensor of `whole_shape`, dense and row-major, to `out`. On several
// threads. Throws Error if the slice does not lie in the tensor.
void fill_initial(const Initializer& initializer, uint64_t seed, std::string_view name,
                  std::span<const int64_t> whole_shape, std::span<const int64_t> begins, std::span<const int64_t> sizes,
                  float* out);
void fill_initial(const Initializer& initializer, uint64_t seed, std::string_view name,
                  std::span<const int64_t> whole_shape, std::span<const int64_t> begins, std::span<const int64_t> sizes,
                  double* out);

}  // namespace synthesizer
