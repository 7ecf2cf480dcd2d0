// Ranks as threads of one process: what tests run partitioned programs on. Reductions are those of dist/reduce.h.
// Ranks that disagree on a call (another collective, count, dtype, root) get an Error instead of a hang, and so do
// ranks that wait for one that has failed or has returned.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/graph/communicator.h"
#include "dist/reduce.h"

namespace synthesizer {

// Runs `body` on `size` threads, each with its own communicator of rank 0 … size-1, and waits for all.
// If ranks throw, the exception that was thrown first is thrown again here; ranks in a collective with a failed one get
// an Error, "another rank failed".
void run_ranks(int size, const std::function<void(Communicator&)>& body);

class ThreadCommunicator : public Communicator {
 public:
  struct Group;

  // `group` is shared by the ranks of this communicator; made by run_ranks and split.
  ThreadCommunicator(std::shared_ptr<Group> group, int rank);

  int rank() const override { return rank_; }
  int size() const override;
  bool among_threads() const override { return true; }
  void all_reduce(void* data, int64_t count, DType dtype, Reduction reduction) override;
  void reduce_scatter(const void* in, void* out, int64_t count, DType dtype, Reduction reduction) override;
  void all_reduce_rounded(float* data, int64_t count) override;
  void reduce_scatter_rounded(const float* in, float* out, int64_t count) override;
  void all_gather(const void* in, void* out, int64_t count, DType dtype) override;
  void all_to_all(const void* in, void* out, int64_t count, DType dtype) override;
  void broadcast(void* data, int64_t bytes, int root) override;
  void barrier() override;
  std::unique_ptr<Communicator> split(int color, int key) override;

 private:
  std::shared_ptr<Group> group_;
  int rank_;
  std::vector<const void*> blocks_;  // of each rank, where they are joined
  std::vector<Terms> terms_;         // the same
};

}  // namespace synthesizer
