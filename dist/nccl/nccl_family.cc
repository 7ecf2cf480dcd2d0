#include "dist/nccl/nccl_family.h"

#include "core/base/error.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/tensor/storage.h"
#include "dist/traffic.h"

namespace synthesizer {

// Beside a piece: blocks begin at multiples of kAlignment, and one element a rank may be more than a piece.
NcclCommunicator::Family::Family(const NcclLibrary& library_, cuda::CudaDevice& device_, const NcclOptions& options_,
                                 int size)
    : api(library_.api()),
      device(device_),
      options(options_),
      watch(library_, device_, options_.watch_interval, options_.limits),
      half_bytes_(align_up(options_.piece_bytes) + 2 * kAlignment * size) {
  CHECK(options.piece_bytes >= kGatheredBytes, "pieces of {} bytes", options.piece_bytes);
}

NcclCommunicator::Family::~Family() { cudaFree(scratch_); }

std::byte* NcclCommunicator::Family::scratch(int half) {
  if (scratch_ == nullptr) {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    cuda::check(cudaStreamIsCapturing(device.communication_stream(), &status), "asking whether a stream captures");
    if (status != cudaStreamCaptureStatusNone)
      fail("[nccl] memory for sums is taken at the first call, which is being captured: run it once before");
    // Not by Device::allocate, which clears it on the other stream, at any time, and counts it as planned.
    void* memory = nullptr;
    cuda::check(cudaMalloc(&memory, static_cast<size_t>(2 * half_bytes_)), "allocating memory for sums between ranks");
    scratch_ = static_cast<std::byte*>(memory);
  }
  return scratch_ + half * half_bytes_;
}

}  // namespace synthesizer
