// The toolkit's own header of cuBLASLt, on the types of the stand-in for CUDA's runtime: what it includes of CUDA
// counts as included already.
#pragma once

#include "cuda_shim/host_types.h"
#include "cuda_shim/vector_types.h"

#define __DRIVER_TYPES_H__
#define CU_COMPLEX_H_
#define __CUDA_FP16_H__
#define __CUDA_BF16_H__
using cuComplex = float2;
using cuDoubleComplex = double2;
struct __half;
struct __nv_bfloat16;

#include_next <cublasLt.h>
