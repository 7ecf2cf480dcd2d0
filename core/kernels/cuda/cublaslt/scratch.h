// Device memory of a moment.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace synthesizer::cuda {

class Scratch {
 public:
  // Null where there is no memory for it, or 0 bytes.
  explicit Scratch(int64_t bytes) {
    if (bytes == 0 || cudaMalloc(&data_, static_cast<size_t>(bytes)) == cudaSuccess) return;
    cudaGetLastError();
    data_ = nullptr;
  }
  ~Scratch() { cudaFree(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

}  // namespace synthesizer::cuda
