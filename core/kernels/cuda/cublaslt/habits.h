// What cuBLASLt does with NaN, and how it orders the bits of a mask, is not documented: found out on the device.
#pragma once

#include <memory>

#include "core/kernels/cuda/cublaslt/products.h"

namespace synthesizer::cuda {

// Whether products of this type with this epilogue, of those that have relu or a mask, give what core/kernels/gemm.h
// says, by all algorithms that the library has for a small one: relu(NaN) is NaN, since what is not finite must not be
// hidden from the check of a step; bits of masks are in our order. Runs a few products; throws Error if the device has
// no memory for them.
bool does_as_documented_here(const std::shared_ptr<const CublasLtProducts::Shared>& shared, const Product& product);

}  // namespace synthesizer::cuda
