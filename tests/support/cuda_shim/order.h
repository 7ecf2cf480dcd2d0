// The orders of control.h's schedules.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "tests/support/cuda_shim/control.h"

namespace cuda_shim {

// Gives orders under one schedule.
class Orders {
 public:
  explicit Orders(Schedule schedule = Schedule::kForward, uint64_t seed = 0) : schedule_(schedule), random_(seed) {}

  Schedule schedule() const { return schedule_; }

  // The numbers 0 … count - 1, in the order in which they are to be taken.
  template <typename T>
  void fill(std::vector<T>& order, size_t count) {
    order.resize(count);
    std::iota(order.begin(), order.end(), T{0});
    if (schedule_ == Schedule::kBackward) std::reverse(order.begin(), order.end());
    if (schedule_ == Schedule::kShuffled)
      for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random_() % i]);
  }

 private:
  Schedule schedule_;
  std::mt19937_64 random_;
};

// A set of small numbers that gives its first one, by their places in an order.
class ReadySet {
 public:
  static constexpr int kMost = 1024;

  void insert(int place) { words_[place / 64] |= uint64_t{1} << (place % 64); }
  // Takes the first out; -1 if there is none.
  int take_first() {
    for (int word = 0; word < kMost / 64; ++word)
      if (words_[word] != 0) {
        const int bit = __builtin_ctzll(words_[word]);
        words_[word] &= words_[word] - 1;
        return word * 64 + bit;
      }
    return -1;
  }
  void clear() { words_ = {}; }

 private:
  std::array<uint64_t, kMost / 64> words_{};
};

}  // namespace cuda_shim
