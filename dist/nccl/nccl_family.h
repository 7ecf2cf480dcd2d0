// What an NcclCommunicator shares with those split from it: the device, the thread that watches them all, and memory.
#pragma once

#include "dist/nccl/nccl_communicator.h"

namespace synthesizer {

struct NcclCommunicator::Family {
  Family(const NcclLibrary& library_, cuda::CudaDevice& device_, const NcclOptions& options_, int size);
  ~Family();
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;

  // Two halves of the device's memory, taken at the first call. All calls of a device's communicators are on one
  // stream, so one such memory serves them all. Throws Error if the stream captures then.
  std::byte* scratch(int half);

  const NcclApi& api;
  cuda::CudaDevice& device;
  const NcclOptions options;
  NcclWatch watch;

 private:
  int64_t half_bytes_;
  std::byte* scratch_ = nullptr;
};

}  // namespace synthesizer
