// A stand-in for NCCL in a library of its own (libfake_nccl.so): the same C interface among the threads of one process,
// on the stand-in for CUDA. What tests ask of it besides, they find by name too.
#pragma once

#include "dist/nccl/nccl_api.h"

// Calls `work(data)` when the stream comes to it: cuda_shim::run_as_kernel, which the library cannot be linked to.
using FakeNcclLaunch = void (*)(CUstream_st* stream, void (*work)(void*), void* data);

struct FakeNcclControl {
  // All as at the start, but for communicators that are there.
  void (*reset)(FakeNcclLaunch launch);
  void (*set_version)(int version);
  // The next call of this function of NCCL ("ncclAllReduce"), on any rank, returns `result`.
  void (*fail_next)(const char* function, synthesizer::NcclResult result);
  // From now on, ncclCommGetAsyncError says this of all communicators' ranks `rank`.
  void (*fail_later)(int rank, synthesizer::NcclResult error);
  // Communicators' handles that are neither destroyed nor aborted, and those that were aborted since reset().
  int (*live)();
  int (*aborted)();
};

// extern "C" FakeNcclControl fake_nccl_control();
