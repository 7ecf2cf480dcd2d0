#include "data/ordered_pipeline.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

namespace synthesizer {
namespace {

struct Item {
  int number = 0;
  int square = 0;
};

TEST(OrderedPipeline, KeepsOrder) {
  for (const int threads : {1, 2, 7}) {
    int produced = 0;
    std::vector<int> squares;
    OrderedPipeline<Item>([&](Item& item) { return (item.number = produced++) < 1000; },
                          [](Item& item) { item.square = item.number * item.number; },
                          [&](const Item& item) { squares.push_back(item.square); })
        .run(threads);
    ASSERT_EQ(squares.size(), 1000u);
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(squares[static_cast<size_t>(i)], i * i);
  }
}

TEST(OrderedPipeline, TakesNothing) {
  OrderedPipeline<Item>([](Item&) { return false; }, [](Item&) {}, [](Item&) { FAIL(); }).run(3);
}

TEST(OrderedPipeline, RethrowsTheFirstErrorInOrder) {
  int produced = 0;
  int consumed = 0;
  OrderedPipeline<Item> pipeline([&](Item& item) { return (item.number = produced++) < 1000; },
                                 [](Item& item) {
                                   if (item.number == 20 || item.number == 21)
                                     throw std::runtime_error(std::to_string(item.number));
                                 },
                                 [&](Item&) { ++consumed; });
  try {
    pipeline.run(4);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "20");
  }
  EXPECT_EQ(consumed, 20);
}

TEST(OrderedPipeline, RethrowsErrorsOfTheProducerAfterWhatCameBefore) {
  int produced = 0;
  int consumed = 0;
  OrderedPipeline<Item> pipeline(
      [&](Item&) -> bool {
        if (++produced == 6) throw std::runtime_error("cut off");
        return true;
      },
      [](Item&) {}, [&](Item&) { ++consumed; });
  EXPECT_THROW(pipeline.run(2), std::runtime_error);
  EXPECT_EQ(consumed, 5);
}

TEST(OrderedPipeline, EndsWhenTheConsumerThrows) {
  int consumed = 0;
  OrderedPipeline<Item> pipeline([](Item&) { return true; }, [](Item&) {},
                                 [&](Item&) {
                                   if (++consumed == 10) throw std::runtime_error("disk full");
                                 });
  EXPECT_THROW(pipeline.run(3), std::runtime_error);
}

}  // namespace
}  // namespace synthesizer
