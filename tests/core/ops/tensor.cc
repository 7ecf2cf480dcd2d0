#include "tests/core/ops/tensor.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace synthesizer {
namespace {

// The block of `rank` along `dim`: `move` is called with the index in the whole and the index in the block.
void each_of_block(const Shape& block, const std::string& dim, int rank,
                   const std::function<void(const Index&, const Index&)>& move) {
  each(block, [&](const Index& local) {
    Index global = local;
    global[dim] += rank * block.size(dim);
    move(global, local);
  });
}

std::vector<Tensor> random_parts(const Tensor& whole, bool sum, int ranks, uint64_t seed) {
  std::vector<Tensor> parts(static_cast<size_t>(ranks), Tensor(whole.shape));
  for (size_t e = 0; e < whole.data.size(); ++e) {
    const auto holder = static_cast<size_t>(random01(seed, e) * ranks);
    double rest = whole.data[e];
    for (size_t r = 0; r < parts.size(); ++r) {
      const double random = random01(seed + 1 + r, e);
      if (r != holder) parts[r].data[e] = sum ? random - 0.5 : whole.data[e] - random;
      if (r != holder && sum) rest -= parts[r].data[e];
    }
    parts[holder].data[e] = rest;
  }
  return parts;
}

}  // namespace

int64_t& Index::operator[](std::string_view name) {
  for (size_t n = 0; n < count_; ++n)
    if (entries_[n].name == name) return entries_[n].i;
  CHECK(count_ < entries_.size(), "an index of more than {} names", entries_.size());
  entries_[count_] = {name, 0};
  return entries_[count_++].i;
}

int64_t Index::at(std::string_view name) const {
  for (size_t n = 0; n < count_; ++n)
    if (entries_[n].name == name) return entries_[n].i;
  fail("an index without {}", name);
}

size_t Tensor::offset(const Index& index) const {
  size_t at = 0;
  for (const Dim& dim : shape.dims()) {
    const int64_t i = index.at(dim.name);
    CHECK(i >= 0 && i < dim.size, "{} is {} in {}", dim.name, i, shape.to_string());
    at = at * static_cast<size_t>(dim.size) + static_cast<size_t>(i);
  }
  return at;
}

void each(const Shape& shape, const std::function<void(const Index&)>& visit) {
  Index index;
  const std::function<void(size_t)> along = [&](size_t d) {
    if (d == shape.rank()) return visit(index);
    int64_t& i = index[shape.dims()[d].name];
    for (i = 0; i < shape.dims()[d].size; ++i) along(d + 1);
  };
  along(0);
}

Tensor tabulate(const Shape& shape, const std::function<double(const Index&)>& value) {
  Tensor result(shape);
  size_t e = 0;
  each(shape, [&](const Index& index) { result.data[e++] = value(index); });
  return result;
}

Index with(Index index, std::string_view name, int64_t i) {
  index[name] = i;
  return index;
}

double random01(uint64_t stream, uint64_t element) {
  const PhiloxCounter words = philox({static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32), 17, 4},
                                     philox_key(stream * 2654435761u));
  return uniform_double(words[0], words[1]);
}

std::vector<Tensor> place(const Tensor& whole, const Placement& placement, int ranks, uint64_t seed) {
  std::vector<Tensor> parts;
  switch (placement.kind) {
    case Placement::Kind::kWhole:
      return std::vector<Tensor>(static_cast<size_t>(ranks), whole);
    case Placement::Kind::kPartialSum:
    case Placement::Kind::kPartialMax:
      return random_parts(whole, placement.kind == Placement::Kind::kPartialSum, ranks, seed);
    case Placement::Kind::kSplit:
      break;
  }
  for (int rank = 0; rank < ranks; ++rank) {
    Tensor part(local_shape(whole.shape, placement, {"test", rank, ranks}));
    each_of_block(part.shape, placement.dim, rank,
                  [&](const Index& global, const Index& local) { part(local) = whole(global); });
    parts.push_back(std::move(part));
  }
  return parts;
}

Tensor combine(const std::vector<Tensor>& parts, const Placement& placement) {
  const Shape& shape = parts[0].shape;
  const auto ranks = static_cast<int64_t>(parts.size());
  if (placement.kind == Placement::Kind::kSplit) {
    Tensor whole(shape.with_size(placement.dim, shape.size(placement.dim) * ranks));
    for (size_t rank = 0; rank < parts.size(); ++rank)
      each_of_block(shape, placement.dim, static_cast<int>(rank),
                    [&](const Index& global, const Index& local) { whole(global) = parts[rank](local); });
    return whole;
  }
  Tensor whole = parts[0];
  for (size_t rank = 1; rank < parts.size(); ++rank)
    for (size_t e = 0; e < whole.data.size(); ++e) {
      const double value = parts[rank].data[e];
      if (placement.kind == Placement::Kind::kWhole && value != whole.data[e]) return {};
      if (placement.kind == Placement::Kind::kPartialSum) whole.data[e] += value;
      if (placement.kind == Placement::Kind::kPartialMax) whole.data[e] = std::max(whole.data[e], value);
    }
  return whole;
}

std::string difference(const Tensor& got, const Tensor& expected, double tolerance) {
  if (got.shape != expected.shape || got.data.size() != expected.data.size())
    return fmt::format("shape: got {} ({} elements), expected {}", got.shape.to_string(), got.data.size(),
                       expected.shape.to_string());
  double scale = 1;
  for (const double value : expected.data) scale = std::max(scale, std::abs(value));
  for (size_t e = 0; e < got.data.size(); ++e)
    if (!(std::abs(got.data[e] - expected.data[e]) <= tolerance * scale))
      return fmt::format("element {} of {}: got {}, expected {}, tolerance {}", e, got.shape.to_string(), got.data[e],
                         expected.data[e], tolerance * scale);
  return "";
}

}  // namespace synthesizer
