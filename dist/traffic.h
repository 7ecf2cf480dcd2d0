// What collectives send: one definition, for those that plan it and for MpiCommunicator, which does it. Tests count the
// bytes that it gives to MPI.
#pragma once

#include <cstddef>
#include <cstdint>

namespace synthesizer {

enum class Collective { kAllReduce, kReduceScatter, kAllGather, kAllToAll, kBroadcast, kBarrier };
inline constexpr size_t kCollectives = 6;

struct Traffic {
  int64_t calls = 0;
  int64_t bytes = 0;  // sent by a rank to the others
  bool operator==(const Traffic&) const = default;
};

// Up to this many bytes (over all ranks) all_reduce gathers everything on every rank, which then adds it all: one step
// instead of two. With more than two ranks that is more bytes than a share to each and the sums back, in less time.
inline constexpr int64_t kGatheredBytes = int64_t{64} << 10;
constexpr bool reduces_by_gathering(int64_t block_bytes, int size) { return block_bytes * size <= kGatheredBytes; }

// Where rank `rank`'s share of `count` elements begins, which it adds for all; it ends where the next one's begins.
constexpr int64_t share_begin(int64_t count, int rank, int size) { return count * rank / size; }

// A collective is cut into pieces of this many bytes (over all ranks): small enough for the caches and for MPI's int
// counts, large enough that the naps between polls do not matter.
inline constexpr int64_t kPieceBytes = int64_t{8} << 20;
// The same of sums that travel as bfloat16: half of the buffer below has what is sent.
inline constexpr int64_t kRoundedPieceBytes = kPieceBytes / 2;

// The buffer that a communicator has for what the other ranks send: a piece, and what is lost where it is not cut
// evenly.
constexpr int64_t communicator_bytes(int size) { return size == 1 ? 0 : kPieceBytes + int64_t{size} * 8; }

// Bytes that a rank sends to the others in one call among `size` ranks. `block_bytes` is `count` elements of the call.
// What is sent to two ranks counts twice, whatever way MPI takes within its own collectives (all_reduce by gathering,
// broadcast).
// The mean over the ranks, rounded down: of an all_reduce that is cut into shares a rank sends a little more or less,
// where the elements do not divide by more than two ranks; of a broadcast the root sends all.
int64_t sent_bytes(Collective collective, int64_t block_bytes, int size);

}  // namespace synthesizer
