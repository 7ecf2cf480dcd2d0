// Collectives over an MPI communicator.
//
// Reductions are done here, in the tree of dist/reduce.h, on data moved by MPI: every rank sends each other rank its
// share, adds what it receives, and (all_reduce) sends the sums round. These are a ring's bytes, the bits are those of
// the thread communicator, and no choice of MPI's algorithms can change them.
//
// Calls block, but never inside MPI: requests are polled with growing naps between polls, because MPI's own waiting
// burns the core that a computing thread needs. A rank that comes late to a collective then
// costs the others' computing next to nothing.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/graph/communicator.h"
#include "core/tensor/storage.h"
#include "dist/reduce.h"

namespace synthesizer {

// Owns an MPI_Comm. Needs MPI_THREAD_MULTIPLE if several communicators are used by several threads at once.
// Calls throw Error with MPI's own message if MPI reports one; after that the job is best aborted.
// All memory is taken when it is made: calls allocate nothing here.
class MpiCommunicator : public Communicator {
 public:
  // A duplicate of `comm`, which stays the caller's. Collective.
  explicit MpiCommunicator(MPI_Comm comm);
  // This very one, which is freed with the communicator.
  static MpiCommunicator adopt(MPI_Comm comm) { return MpiCommunicator(comm, Adopt{}); }
  ~MpiCommunicator() override;
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

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
  std::unique_ptr<Communicator> split(int color, int key) override;

 private:
  struct Adopt {};
  MpiCommunicator(MPI_Comm comm, Adopt);

  // Posts one message, at most a piece long: its request is waited for by wait_all().
  void send(const void* data, int64_t bytes, int to);
  void receive(void* data, int64_t bytes, int from);
  void wait_all();
  void check(int code, const char* call) const;
  std::byte* scratch(int64_t offset) const { return scratch_.data() + offset; }
  BFloat16* rounded_scratch(int64_t element) const { return reinterpret_cast<BFloat16*>(scratch_.data()) + element; }

  void all_reduce_small(void* data, int64_t count, DType dtype, Reduction reduction);
  void all_reduce_piece(std::byte* data, int64_t count, DType dtype, Reduction reduction);
  // Rank r's bytes come to blocks + r * bytes, this rank's too.
  void gather(const void* own, std::byte* blocks, int64_t bytes);
  void all_reduce_rounded_small(float* data, int64_t count);
  void all_reduce_rounded_piece(float* data, int64_t count);

  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  std::vector<const void*> blocks_;    // of each rank, where they are joined
  std::vector<Terms> terms_;           // the same
  Storage scratch_;                    // what the other ranks send, until it is added
  std::vector<MPI_Request> requests_;  // 2 (size - 1) at most
};

}  // namespace synthesizer
