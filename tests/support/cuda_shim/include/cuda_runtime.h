// CUDA's runtime header for a machine without CUDA: sources of kernels, compiled as plain C++, find this one first and
// run on the CPU. The threads of a block take turns and the blocks follow one another, on the thread that launches. A
// stand-in for tests alone: what a test sets and asks is tests/support/cuda_shim/control.h.
#pragma once

// What the qualifiers mean here. A __shared__ variable is one of the process, so it keeps its values from block to
// block where a device has rubbish: only dynamic_shared() is filled with NaN.
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

#include "cuda_shim/atomics.h"
#include "cuda_shim/device_math.h"
#include "cuda_shim/host_api.h"
#include "cuda_shim/launch.h"
#include "cuda_shim/threads.h"
#include "cuda_shim/vector_types.h"
#include "cuda_shim/warp.h"
