// Collectives among GPUs by NCCL, on the device's communication stream.
//
// NCCL moves all bytes and makes most sums. What it cannot make as the Communicator promises is made here: sums whose
// terms travel as bfloat16, maxima of floating types (NCCL's loses a NaN), and, if asked for, sums in the tree of
// dist/reduce.h. Those are a ring's bytes too: each rank gets its share of every rank's terms, joins them, and sends
// the result round.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "core/graph/communicator.h"
#include "core/kernels/cuda/runtime/cuda_device.h"
#include "dist/nccl/nccl_library.h"
#include "dist/nccl/nccl_limits.h"
#include "dist/nccl/nccl_watch.h"

namespace synthesizer {

struct NcclOptions {
  // Sums of floating types in the tree over the ranks, with the bits of MpiCommunicator (`reduction: ORDERED`). NCCL's
  // own are the same on every rank and, on the same machines, in every run.
  bool ordered = false;
  // What is joined here is cut into pieces of so many bytes (over all ranks): large enough for the links, small beside
  // a GPU's memory. At least kGatheredBytes.
  int64_t piece_bytes = int64_t{16} << 20;
  // Between two looks for errors that NCCL found after a call had returned.
  std::chrono::milliseconds watch_interval{200};
  NcclLimits limits = {};
};

// Buffers are the device's. Calls give work to its communication stream and return; they may be captured, but the first
// that is joined here (of a communicator or of any split from it) takes 2 · piece_bytes of the device's memory, and so
// must not be. Calls of a captured graph must not outlive the communicator. Throws Error "[nccl] call of N bytes (the
// node of the graph): NCCL's words [rank r/n]"; after that the job is best aborted. What goes wrong later, a rank that
// does not come among it, the device's finish() throws.
class NcclCommunicator : public Communicator {
 public:
  // The ranks of `host`, a communicator of the host's memory; it is not used once this returns. Collective. `library`
  // and `device` must outlive the communicator. Throws Error if two ranks share a GPU (dist/nccl/local_gpu.h) or have
  // not the same version of NCCL.
  NcclCommunicator(const NcclLibrary& library, cuda::CudaDevice& device, Communicator& host, NcclOptions options = {});
  // Rank `rank` of the `size` that have this id (dist/nccl/nccl_id.h). Collective.
  NcclCommunicator(const NcclLibrary& library, cuda::CudaDevice& device, const NcclId& id, int rank, int size,
                   NcclOptions options = {});
  ~NcclCommunicator() override;
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  int rank() const override { return handle_->rank(); }
  int size() const override { return handle_->size(); }
  Device* device() const override;
  void all_reduce(void* data, int64_t count, DType dtype, Reduction reduction) override;
  void reduce_scatter(const void* in, void* out, int64_t count, DType dtype, Reduction reduction) override;
  void all_reduce_rounded(float* data, int64_t count) override;
  void reduce_scatter_rounded(const float* in, float* out, int64_t count) override;
  void all_gather(const void* in, void* out, int64_t count, DType dtype) override;
  void all_to_all(const void* in, void* out, int64_t count, DType dtype) override;
  void broadcast(void* data, int64_t bytes, int root) override;
  void barrier() override;
  // The new one must not outlive this one. Waits for the device.
  std::unique_ptr<Communicator> split(int color, int key) override;

 private:
  // What a communicator shares with those split from it.
  struct Family;

  NcclCommunicator(Family& family, std::unique_ptr<NcclHandle> handle);
  cudaStream_t stream() const;

  struct Sent {
    const void* data;
    int64_t bytes;
  };
  struct Received {
    void* data;
    int64_t bytes;
  };
  // Sends `sent(r)` to each other rank r, and puts at `received(r)` what comes from it.
  template <typename SentTo, typename ReceivedFrom>
  void exchange(const NcclCall& call, const SentTo& sent, const ReceivedFrom& received);
  void gather(const NcclCall& call, const void* in, void* out, int64_t bytes);

  // nccl_joins.cc: what is joined here.
  bool joins(DType dtype, Reduction reduction) const;
  void all_reduce_joined(const NcclCall& call, void* data, int64_t count, DType dtype, Reduction reduction);
  void reduce_scatter_joined(const NcclCall& call, const void* in, void* out, int64_t count, DType dtype,
                             Reduction reduction);
  template <typename T>
  void all_reduce_of(const NcclCall& call, T* data, int64_t count, Reduction reduction);
  template <typename T>
  void all_reduce_piece(const NcclCall& call, T* data, int64_t count, Reduction reduction);
  void all_reduce_rounded_piece(const NcclCall& call, float* data, int64_t count);
  template <typename T>
  void reduce_scatter_of(const NcclCall& call, const T* in, T* out, int64_t count, Reduction reduction);
  // Brings each rank's share of an image, which has those of all ranks, to where the shares are joined; then their
  // sums to all.
  template <typename T>
  void send_shares(const NcclCall& call, const T* image, int64_t count, T* received, int64_t stride);
  template <typename T>
  void gather_shares(const NcclCall& call, T* image, int64_t count);

  std::unique_ptr<Family> owned_;  // by the one that was split from none
  Family& family_;
  std::unique_ptr<NcclHandle> handle_;
};

}  // namespace synthesizer
