#include "data/sampler.h"

#include <bit>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/philox.h"

namespace synthesizer {
namespace {

constexpr uint32_t kRounds = 8;

}  // namespace

EpochPermutation::EpochPermutation(int64_t size, uint64_t seed, int64_t epoch)
    : size_(size),
      // The smallest even number of bits that holds the range: less than four values for each that is kept.
      half_bits_((std::bit_width(static_cast<uint64_t>(size - 1)) + 1) / 2),
      key_(seed ^ hash_name("data.epoch_permutation")),
      epoch_low_(static_cast<uint32_t>(epoch)),
      epoch_high_(static_cast<uint32_t>(static_cast<uint64_t>(epoch) >> 32)) {
  CHECK(size >= 1, "a permutation of {} examples", size);
}

uint64_t EpochPermutation::encrypt(uint64_t value) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = value >> half_bits_;
  uint64_t right = value & mask;
  for (uint32_t round = 0; round < kRounds; ++round) {
    const PhiloxCounter words =
        philox({static_cast<uint32_t>(right), round, epoch_low_, epoch_high_}, philox_key(key_));
    const uint64_t mixed = left ^ (words[0] & mask);
    left = right;
    right = mixed;
  }
  return left << half_bits_ | right;
}

int64_t EpochPermutation::operator()(int64_t n) const {
  CHECK(n >= 0 && n < size_, "example {} of an epoch of {}", n, size_);
  uint64_t value = static_cast<uint64_t>(n);
  // Walking the cycle stays a permutation of what is inside the range.
  do {
    value = encrypt(value);
  } while (value >= static_cast<uint64_t>(size_));
  return static_cast<int64_t>(value);
}

ExamplePosition advance_position(ExamplePosition position, int64_t count, int64_t size) {
  CHECK(size >= 1 && position.example >= 0 && count >= 0, "{} examples after example {} of an epoch of {}", count,
        position.example, size);
  const int64_t example = position.example + count;
  return {position.epoch + example / size, example % size};
}

}  // namespace synthesizer
