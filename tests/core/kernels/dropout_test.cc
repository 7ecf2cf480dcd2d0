// Dropout's bits, one element at a time by core/base/philox.h; blocks of a rank agree with the whole.
#include "core/ops/dropout.h"

#include <gtest/gtest.h>

#include "core/base/philox.h"
#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

constexpr uint64_t kSeed = 0x123456789abcdef0u, kName = 0xfedcba9876543210u;

Block whole_block(const Shape& shape) { return {shape, std::vector<int64_t>(shape.rank())}; }

bool kept(uint64_t element, uint64_t step, double rate) {
  const PhiloxCounter counter{static_cast<uint32_t>(element / 4),
                              static_cast<uint32_t>((element / 4) >> 32) ^ static_cast<uint32_t>(step >> 32),
                              static_cast<uint32_t>(step), static_cast<uint32_t>(kName)};
  const PhiloxCounter words = philox(counter, philox_key(kSeed ^ ((kName >> 32) << 32)));
  return static_cast<double>(uniform_float(words[element % 4])) >= rate;
}

// `block`: where x lies in the whole tensor.
Reference reference(const Block& block, const DimNames& shared, uint64_t step, double rate) {
  return [=](const Tensors& in, Tensors& out) {
    std::vector<Dim> mask_dims;
    for (const Dim& dim : block.whole.dims())
      if (std::find(shared.begin(), shared.end(), dim.name) == shared.end()) mask_dims.push_back(dim);
    const Shape mask(mask_dims), &x = in[0].type.shape;
    int64_t first = 0;
    for (size_t i = 0; i < block.begin.size(); ++i)
      if (const int at = mask.find(block.whole.dims()[i].name); at >= 0)
        first += block.begin[i] * mask.strides()[static_cast<size_t>(at)];
    for_each_index(x.dims(), {x, mask}, [&](const std::vector<int64_t>& at) {
      out[0][at[0]] = kept(static_cast<uint64_t>(first + at[1]), step, rate) ? in[0][at[0]] / (1 - rate) : 0;
    });
  };
}

TEST(Dropout, IsTheFormula) {
  const uint64_t step = 0x500000003u;
  for (const Shape& shape :
       {Shape{kBatch(3), kLength(33), kModel(31)}, Shape{kBatch(2), kLength(5), kModel(511)}, Shape{kModel(1)},
        Shape{kLength(70), kModel(130)}, Shape{kBatch(3), kLength(5), kModel(36)}}) {
    for (const DimNames& shared : {DimNames{}, DimNames{"length"}, DimNames{"model"}, DimNames{"batch", "length"}}) {
      for (const double rate : {0.1, 0.5, 0.9}) {
        const Block block = whole_block(shape);
        DimNames here;
        for (const std::string& dim : shared)
          if (shape.has(dim)) here.push_back(dim);
        check_kernel(Dropout(rate, kSeed, kName, here, block),
                     {random_tensor(shape, 71), scalar(static_cast<double>(step), DType::kInt64)},
                     reference(block, here, step, rate), {2e-7, 1e-15});
      }
    }
  }
}

TEST(Dropout, BlocksAreCutFromTheWholeMask) {
  const Shape whole{kBatch(6), kLength(33), kModel(62)};
  for (const DimNames& shared : {DimNames{}, DimNames{"length"}, DimNames{"model"}}) {
    const Block middle{whole, {2, 0, 0}}, right{whole, {0, 0, 31}}, last{whole, {0, 0, 61}};
    const auto check = [&](const Block& block, const Shape& local) {
      check_kernel(Dropout(0.3, kSeed, kName, shared, block), {random_tensor(local, 72), scalar(9, DType::kInt64)},
                   reference(block, shared, 9, 0.3), {2e-7, 1e-15});
    };
    check(middle, whole.with_size("batch", 2));
    check(right, whole.with_size("model", 31));
    check(last, whole.with_size("model", 1));
  }
}

TEST(Dropout, BeyondFourBillionElements) {
  const Shape whole{kBatch(int64_t{1} << 30), kModel(64)};
  const Block block{whole, {(int64_t{1} << 30) - 1, 0}};
  check_kernel(Dropout(0.5, kSeed, kName, {}, block),
               {random_tensor(Shape{kBatch(1), kModel(64)}, 73), scalar(1, DType::kInt64)},
               reference(block, {}, 1, 0.5), {2e-7, 1e-15});
}

}  // namespace
}  // namespace synthesizer
