// A communicator that only has a shape: collectives move nothing, and their calls and bytes are counted. With it `plan`
// builds the program of one rank of any mesh, on a machine that has none of it.
#pragma once

#include <array>
#include <cstdint>

#include "core/graph/communicator.h"
#include "dist/traffic.h"

namespace synthesizer {

class FakeCommunicator : public Communicator {
 public:
  FakeCommunicator(int rank, int size);

  const Traffic& traffic(Collective collective) const { return traffic_[static_cast<size_t>(collective)]; }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_reduce(void* data, int64_t count, DType dtype, Reduction reduction) override;
  void reduce_scatter(const void* in, void* out, int64_t count, DType dtype, Reduction reduction) override;
  void all_reduce_rounded(float* data, int64_t count) override;
  void reduce_scatter_rounded(const float* in, float* out, int64_t count) override;
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
