// Windows along a dim against an index at a time: every thread count and instruction set, odd sizes.
#include "core/ops/window.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

struct Size {
  int64_t batch, length, heads, head, window, before;
};
constexpr double kRounded = 0.004;  // half a unit in bfloat16's last place
constexpr Size kSizes[] = {{3, 33, 2, 31, 3, 1}, {2, 511, 3, 1, 4, 3},    {1, 1, 1, 1, 1, 0},     {2, 5, 2, 70, 9, 4},
                           {3, 31, 33, 1, 5, 2}, {1, 129, 1, 65, 31, 30}, {2, 40, 3, 33, 2, 0},   {2, 70, 2, 64, 9, 8},
                           {3, 45, 3, 81, 9, 4}, {2, 150, 2, 3, 67, 33},  {1, 20, 5, 40, 130, 64}};

// Calls visit(row, seen row, w) for every place that lies inside.
template <typename Visit>
void each_place(const Size& s, const Visit& visit) {
  for (int64_t row = 0; row < s.batch * s.length; ++row)
    for (int64_t w = 0; w < s.window; ++w) {
      const int64_t at = row % s.length + w - s.before;
      if (at >= 0 && at < s.length) visit(row, row + w - s.before, w);
    }
}

Shape input_shape(const Size& s) { return {kBatch(s.batch), kLength(s.length), kHeads(s.heads), kHead(s.head)}; }

TEST(Window, UnfoldAndFold) {
  for (const Size& s : kSizes) {
    const int64_t width = s.heads * s.head;
    const Reference unfolded = [&](const Tensors& in, Tensors& out) {
      each_place(s, [&](int64_t row, int64_t seen, int64_t w) {
        for (int64_t i = 0; i < width; ++i) out[0][(row * s.window + w) * width + i] = in[0][seen * width + i];
      });
    };
    check_kernel(Unfold("length", kWindow(s.window), s.before), {random_tensor(input_shape(s), 71)}, unfolded, {0, 0});
    const Reference folded = [&](const Tensors& in, Tensors& out) {
      each_place(s, [&](int64_t row, int64_t seen, int64_t w) {
        for (int64_t i = 0; i < width; ++i) out[0][seen * width + i] += in[0][(row * s.window + w) * width + i];
      });
    };
    const Shape windows{kBatch(s.batch), kLength(s.length), kWindow(s.window), kHeads(s.heads), kHead(s.head)};
    check_kernel(Fold("length", kWindow(s.window), s.before), {random_tensor(windows, 72)}, folded, {1e-6, 1e-14});
  }
}

TEST(Window, ConvolutionAndItsGradient) {
  for (const Size& s : kSizes)
    for (const bool own : {false, true}) {
      const Shape x = input_shape(s);
      const Shape weights = own ? Shape{kBatch(s.batch), kLength(s.length), kHeads(s.heads), kWindow(s.window)}
                                : Shape{kHeads(s.heads), kWindow(s.window)};
      // Calls visit(element of y, of u, of weights) for every product.
      const auto each_product = [&](const auto& visit) {
        each_place(s, [&](int64_t row, int64_t seen, int64_t w) {
          for (int64_t h = 0; h < s.heads; ++h)
            for (int64_t c = 0; c < s.head; ++c)
              visit((row * s.heads + h) * s.head + c, (seen * s.heads + h) * s.head + c,
                    ((own ? row * s.heads : 0) + h) * s.window + w);
        });
      };
      const Reference forward = [&](const Tensors& in, Tensors& out) {
        each_product([&](int64_t y, int64_t u, int64_t w) { out[0][y] += in[0][u] * in[1][w]; });
      };
      const Tensor u = random_tensor(x, 73), filter = random_tensor(weights, 74);
      check_kernel(Window(s.before), {u, filter}, forward, {.bf16 = kRounded});
      const Reference gradient = [&](const Tensors& in, Tensors& out) {
        each_product([&](int64_t y, int64_t u, int64_t w) {
          out[0][u] += in[2][y] * in[1][w];
          out[1][w] += in[2][y] * in[0][u];
        });
      };
      check_kernel(WindowGradient(s.before), {u, filter, random_tensor(x, 75)}, gradient, {.bf16 = kRounded});
    }
}

TEST(Window, SeesHalfOrWhatIsBehind) {
  EXPECT_EQ(window_before(3, false), 1);
  EXPECT_EQ(window_before(4, false), 1);
  EXPECT_EQ(window_before(1, false), 0);
  EXPECT_EQ(window_before(1, true), 0);
  EXPECT_EQ(window_before(4, true), 3);
}

TEST(Window, RefusesWeightsThatDoNotFit) {
  const ValueType u{DType::kFloat32, {kBatch(2), kLength(3), kHeads(4), kHead(5)}};
  const auto weights = [](Shape shape) { return ValueType{DType::kFloat32, std::move(shape)}; };
  EXPECT_NO_THROW(Window(1).infer({{u, weights({kHeads(4), kWindow(3)})}}));
  for (const Shape& shape : {Shape{kHeads(2), kWindow(3)}, Shape{kHeads(4)}, Shape{kWindow(3), kHeads(4)},
                             Shape{kHeads(4), kHead(3)}, Shape{kBatch(2), kLength(2), kHeads(4), kWindow(3)}})
    EXPECT_THROW(Window(1).infer({{u, weights(shape)}}), Error) << shape.to_string();
  EXPECT_THROW(Window(3).infer({{u, weights({kHeads(4), kWindow(3)})}}), Error);
  EXPECT_THROW(Unfold("length", kWindow(3), 3).infer({{u}}), Error);
  EXPECT_THROW(Fold("length", kWindow(3), 1).infer({{u}}), Error);
}

}  // namespace
}  // namespace synthesizer
