// A communicator that only has a shape: collectives move nothing, and their calls and bytes are counted. With it `plan`
// builds the program of one rank of any mesh, on a machine that has none of it.
#pragma once

#include <array>
#include <cstdint>

#include "core/graph/communicator.h"

namespace synthesizer {

enum class Collective { kAllReduce, kReduceScatter, kAllGather, kAllToAll, kBroadcast, kBarrier };
inline constexpr size_t kCollectives = 6;

struct Traffic {
  int64_t calls = 0;
  int64_t bytes = 0;  // sent by a rank to the others, the mean over the ranks, rounded down
  bool operator==(const Traffic&) const = default;
};

// Bytes that a rank sends in one call, the mean over `size` ranks. `block_bytes` is `count` elements of the call.
// all_reduce sends each byte twice, but for the sender's own share.
int64_t sent_bytes(Collective collective, int64_t block_bytes, int size);

class FakeCommunicator : public Communicator {
 public:
  FakeCommunicator(int rank, int size);

  const Traffic& traffic(Collective collective) const { return traffic_[static_cast<size_t>(collective)]; }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_reduce(void* data, int64_t count, DType dtype, Reduction reduction) override;
  void reduce_scatter(const void* in, void* out, int64_t count, DType dtype, Reduction reduction) override;
  void all_gather(const void* in, void* out, int64_t count, DType dtype) override;
  void all_to_all(const void* in, void* out, int64_t count, DType dtype) override;
  void broadcast(void* data, int64_t bytes, int root) override;
  void barrier() override;
  // Throws Error: what the other ranks would say is not known. Make the part's FakeCommunicator directly.
  std::unique_ptr<Communicator> split(int color, int key) override;

 private:
  void add(Collective collective, int64_t block_bytes);

  int rank_;
  int size_;
  std::array<Traffic, kCollectives> traffic_;
};

}  // namespace synthesizer
