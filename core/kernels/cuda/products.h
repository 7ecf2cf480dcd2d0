// Matrix products on the device: the one header behind which their library is (cuBLASLt).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>

#include "core/kernels/gemm.h"

namespace synthesizer::cuda {

// A prepared product (core/kernels/gemm.h says which); run() gives it to a stream. Triangles may be multiplied whole.
class DeviceGemm {
 public:
  virtual ~DeviceGemm() = default;
  // `data`: of what the product has.
  virtual void run(cudaStream_t stream, const void* a, const void* b, const EpilogueData& data, void* c,
                   void* workspace) const = 0;
};

class ProductLibrary {
 public:
  virtual ~ProductLibrary() = default;
  // Of every product's workspace: one size, whatever the product and the device.
  virtual int64_t workspace_bytes() const = 0;
  // Whether make() makes this product with its bias and its epilogue, of operands that begin at multiples of 16 bytes.
  virtual bool takes_epilogue(const Product& product) const = 0;
  virtual std::unique_ptr<DeviceGemm> make(const Product& product) const = 0;
  // "cuBLASLt 13.0.2 (/usr/lib/…)": for messages and --version.
  virtual std::string name() const = 0;
};

}  // namespace synthesizer::cuda
