// Collectives among the ranks of one mesh axis (or of the whole world). The graph knows only this interface;
// dist implements it for MPI, for threads of one process (tests) and as a fake that only knows its shape (plan).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "core/tensor/device.h"
#include "core/tensor/dtype.h"

namespace synthesizer {

enum class Reduction { kSum, kMax };

// In what a sum of float32 travels between ranks.
enum class Wire {
  kFull,      // as it is
  kBFloat16,  // rounded, in half the bytes: Communicator::all_reduce_rounded
};

// Every call is collective and blocking, and made in the same order by all ranks of the communicator.
// Buffers are dense; counts are elements of `dtype`, 64 bits wide. One thread at a time may use a communicator.
// Results are the same bits on every rank, and the same on every run with this number of ranks.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Whose memory the buffers are of; null: the host's. A call then gives the work to the device, where it comes after
  // what was given to the device's communication stream before, and returns.
  virtual Device* device() const { return nullptr; }
  // Whether the ranks are threads of one process, whose calls wait for each other there: one thread cannot make them
  // all.
  virtual bool among_threads() const { return false; }

  // In place.
  virtual void all_reduce(void* data, int64_t count, DType dtype, Reduction reduction) = 0;
  // `in` holds size() blocks of `count`; rank r gets the reduction of all ranks' blocks r in `out`.
  virtual void reduce_scatter(const void* in, void* out, int64_t count, DType dtype, Reduction reduction) = 0;
  // Sums of float32 whose terms travel as bfloat16. Each rank adds in float32, its own terms as they are; where sums
  // travel too (all_reduce, but for short ones), they are rounded on every rank alike.
  virtual void all_reduce_rounded(float* data, int64_t count) = 0;
  virtual void reduce_scatter_rounded(const float* in, float* out, int64_t count) = 0;
  // `out` gets size() blocks of `count`, block r from rank r.
  virtual void all_gather(const void* in, void* out, int64_t count, DType dtype) = 0;
  // `in` and `out` hold size() blocks of `count`: block r of `in` goes to rank r, block r of `out` came from rank r.
  virtual void all_to_all(const void* in, void* out, int64_t count, DType dtype) = 0;
  // From rank `root` to all; bytes.
  virtual void broadcast(void* data, int64_t bytes, int root) = 0;
  virtual void barrier() = 0;

  // The ranks that give the same colour, ordered by key. Collective.
  virtual std::unique_ptr<Communicator> split(int color, int key) = 0;
};

}  // namespace synthesizer
