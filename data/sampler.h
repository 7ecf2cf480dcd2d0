// The order of an epoch's examples: a keyed permutation (a balanced Feistel network whose rounds are Philox, walked in
// cycles until it stays inside the range: Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002).
// Example number n is a pure function of (seed, epoch, n): no shuffle buffer, no state, any rank finds any example at
// once.
#pragma once

#include <cstdint>

namespace synthesizer {

// Where a run is in its data: the next example to be used. It is what a checkpoint keeps.
struct ExamplePosition {
  int64_t epoch = 0;
  int64_t example = 0;  // in the epoch
  bool operator==(const ExamplePosition&) const = default;
};

class EpochPermutation {
 public:
  // Of [0, size), size >= 1.
  EpochPermutation(int64_t size, uint64_t seed, int64_t epoch);
  int64_t operator()(int64_t n) const;

 private:
  uint64_t encrypt(uint64_t value) const;

  int64_t size_;
  int half_bits_;
  uint64_t key_;
  uint32_t epoch_low_;
  uint32_t epoch_high_;
};

// The position `count` examples later (earlier positions with example >= size are brought into range), in epochs of
// `size`.
ExamplePosition advance_position(ExamplePosition position, int64_t count, int64_t size);

}  // namespace synthesizer
