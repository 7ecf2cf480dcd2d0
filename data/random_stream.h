// Random integers of one example: the words of one Philox stream, one after the other. Which stream is a pure function
// of (seed, what it is for, epoch, example).
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/hash.h"
#include "core/base/philox.h"
#include "data/objective.h"

namespace synthesizer {

class RandomStream {
 public:
  // `purpose` (a hashed name) keeps apart the streams of one example.
  RandomStream(const ExampleKey& key, uint64_t purpose)
      : key_(philox_key(key.seed ^ purpose)),
        counter_{0, static_cast<uint32_t>(key.example), static_cast<uint32_t>(key.example >> 32),
                 static_cast<uint32_t>(key.epoch)} {}

  uint32_t next() {
    if (used_ == words_.size()) {
      words_ = philox(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return words_[used_++];
  }

  // Uniform in [0, bound), without bias: Lemire, "Fast Random Integer Generation in an Interval" (TOMACS 2019).
  uint32_t below(uint32_t bound) {
    uint64_t product = uint64_t{next()} * bound;
    if (static_cast<uint32_t>(product) < bound) {
      const uint32_t threshold = (0u - bound) % bound;
      while (static_cast<uint32_t>(product) < threshold) product = uint64_t{next()} * bound;
    }
    return static_cast<uint32_t>(product >> 32);
  }

 private:
  PhiloxKey key_;
  PhiloxCounter counter_;
  PhiloxCounter words_{};
  size_t used_ = words_.size();
};

}  // namespace synthesizer
