// Which of NCCL's calls a stream has come to, as the GPU itself says it: calls that a graph replays are no calls of the
// host's, and one that never ends looks there like one that has not begun.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace synthesizer {

class NcclProgress {
 public:
  explicit NcclProgress(cudaStream_t stream);
  ~NcclProgress();
  NcclProgress(const NcclProgress&) = delete;
  NcclProgress& operator=(const NcclProgress&) = delete;

  // Given to the stream before and after a call, by a number that is not 0; captured too.
  void begin(int32_t call) { mark(call); }
  void end() { mark(0); }

  struct Seen {
    int32_t call = 0;      // that is being made; 0: none
    uint32_t changes = 0;  // how often a call has begun or ended
    bool operator==(const Seen&) const = default;
  };
  // From any thread, at any time.
  Seen seen() const;

 private:
  void mark(int32_t call);

  cudaStream_t stream_;
  uint32_t* changes_ = nullptr;  // of the device
  uint64_t* seen_ = nullptr;     // of the host, pinned, where the device writes: changes, then the call in the low half
};

}  // namespace synthesizer
