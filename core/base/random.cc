#include "core/base/random.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/philox.h"

namespace synthesizer {
namespace {

// A draw beyond two deviations has probability 0.0455: 24 in a row happen to one element in 10^32, which is then cut.
constexpr uint32_t kAttempts = 24;
constexpr int64_t kElementsPerTask = 1 << 14;

// The elements of one tensor, two at a time: elements 2n and 2n + 1 share their random bits.
class Elements {
 public:
  Elements(const Initializer& initializer, uint64_t seed, std::string_view name)
      : initializer_(initializer),
        key_(philox_key(seed)),
        // Apart from the streams of dropout and noise, whose nodes may carry a parameter's name.
        hash_(hash_name(fmt::format("initial value of {}", name))) {}

  // Elements `first` (even) and `first` + 1.
  std::array<double, 2> pair(uint64_t first) const {
    switch (initializer_.kind) {
      case Initializer::Kind::kConstant:
        return {initializer_.scale, initializer_.scale};
      case Initializer::Kind::kUniform: {
        const auto [u, v] = uniforms(first, 0);
        return {(2 * u - 1) * initializer_.scale, (2 * v - 1) * initializer_.scale};
      }
      case Initializer::Kind::kNormal: {
        const auto [x, y] = normals(first, 0);
        return {x * initializer_.scale, y * initializer_.scale};
      }
      case Initializer::Kind::kTruncatedNormal:
        return truncated(first);
    }
    fail("unknown initializer {}", static_cast<int>(initializer_.kind));
  }

 private:
  // In [0, 1). The index of a pair has 56 bits here, the attempt 8.
  std::array<double, 2> uniforms(uint64_t first, uint32_t attempt) const {
    const uint64_t index = first / 2;
    const PhiloxCounter bits = philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32) | attempt << 24,
                                       static_cast<uint32_t>(hash_), static_cast<uint32_t>(hash_ >> 32)},
                                      key_);
    return {uniform_double(bits[0], bits[1]), uniform_double(bits[2], bits[3])};
  }

  // Box and Muller 1958; 1 - u is never 0.
  std::array<double, 2> normals(uint64_t first, uint32_t attempt) const {
    const auto [u, v] = uniforms(first, attempt);
    const double radius = std::sqrt(-2 * std::log(1 - u)), angle = 2 * std::numbers::pi * v;
    return {radius * std::cos(angle), radius * std::sin(angle)};
  }

  // Each of the two takes its own first attempt within two deviations.
  std::array<double, 2> truncated(uint64_t first) const {
    std::array<double, 2> values = normals(first, 0);
    for (uint32_t attempt = 1; attempt < kAttempts; ++attempt) {
      if (std::abs(values[0]) <= 2 && std::abs(values[1]) <= 2) break;
      const std::array<double, 2> next = normals(first, attempt);
      for (size_t i = 0; i < 2; ++i)
        if (std::abs(values[i]) > 2) values[i] = next[i];
    }
    for (double& value : values) value = std::clamp(value, -2.0, 2.0) * initializer_.scale;
    return values;
  }

  Initializer initializer_;
  PhiloxKey key_;
  uint64_t hash_;
};

// Where the slice's elements lie in the whole tensor.
struct Slice {
  std::span<const int64_t> whole_shape, begins, sizes;

  int64_t elements() const {
    int64_t count = 1;
    for (const int64_t size : sizes) count *= size;
    return count;
  }
  // Elements that lie side by side in both.
  int64_t row() const { return sizes.empty() ? 1 : sizes.back(); }
  // The whole tensor's index of the slice's element `flat`.
  int64_t whole_index(int64_t flat) const {
    int64_t index = 0, stride = 1;
    for (size_t i = sizes.size(); i-- > 0;) {
      index += (begins[i] + flat % sizes[i]) * stride;
      flat /= sizes[i];
      stride *= whole_shape[i];
    }
    return index;
  }
};

void check_slice(std::string_view name, const Slice& slice) {
  const size_t rank = slice.whole_shape.size();
  CHECK(slice.begins.size() == rank && slice.sizes.size() == rank, "{}: {} begins and {} sizes for {} dimensions", name,
        slice.begins.size(), slice.sizes.size(), rank);
  for (size_t i = 0; i < rank; ++i)
    CHECK(slice.begins[i] >= 0 && slice.sizes[i] >= 1 && slice.begins[i] + slice.sizes[i] <= slice.whole_shape[i],
          "{}: dimension {}: [{}, +{}) of {}", name, i, slice.begins[i], slice.sizes[i], slice.whole_shape[i]);
}

// `count` elements from `first` on, side by side.
template <typename T>
void fill_row(const Elements& elements, int64_t first, int64_t count, T* out) {
  int64_t i = 0;
  if (first % 2 != 0) out[i++] = static_cast<T>(elements.pair(static_cast<uint64_t>(first - 1))[1]);
  for (; i < count; i += 2) {
    const std::array<double, 2> values = elements.pair(static_cast<uint64_t>(first + i));
    out[i] = static_cast<T>(values[0]);
    if (i + 1 < count) out[i + 1] = static_cast<T>(values[1]);
  }
}

template <typename T>
void fill(const Initializer& initializer, uint64_t seed, std::string_view name, const Slice& slice, T* out) {
  check_slice(name, slice);
  const Elements elements(initializer, seed, name);
  const int64_t count = slice.elements(), row = slice.row();
#pragma omp parallel for schedule(static)
  for (int64_t task = 0; task < count; task += kElementsPerTask) {
    const int64_t end = std::min(count, task + kElementsPerTask);
    for (int64_t i = task; i < end;) {
      const int64_t length = std::min(end - i, row - i % row);
      fill_row(elements, slice.whole_index(i), length, out + i);
      i += length;
    }
  }
}

}  // namespace

void fill_initial(const Initializer& initializer, uint64_t seed, std::string_view name,
                  std::span<const int64_t> whole_shape, std::span<const int64_t> begins, std::span<const int64_t> sizes,
                  float* out) {
  fill(initializer, seed, name, {whole_shape, begins, sizes}, out);
}

void fill_initial(const Initializer& initializer, uint64_t seed, std::string_view name,
                  std::span<const int64_t> whole_shape, std::span<const int64_t> begins, std::span<const int64_t> sizes,
                  double* out) {
  fill(initializer, seed, name, {whole_shape, begins, sizes}, out);
}

}  // namespace synthesizer
