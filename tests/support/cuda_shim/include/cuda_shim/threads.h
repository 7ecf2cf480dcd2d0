// What a thread knows of itself, its block's dynamic shared memory, the barrier and the fences.
#pragma once

#include <cstddef>

#include "cuda_shim/vector_types.h"
#include "cuda_shim/where.h"

namespace cuda_shim {

// Of the thread that runs; set at each switch. Launches exclude each other, so one of each is enough.
inline constinit uint3 g_thread_index{}, g_block_index{};
inline constinit dim3 g_block_dim{}, g_grid_dim{};

// The block's dynamic shared memory, 128-byte aligned, exactly the bytes that the launch asked for; all bytes are 0xFF
// when a block begins, which is NaN as a float. nullptr if it asked for none.
void* dynamic_shared();

// All threads of the block that have not returned meet here. Threads that meet at different source lines are an error,
// as CUDA leaves it undefined.
void barrier(const Where& where);

// Lets the other threads of the block run first. For loops that wait for another thread of the block.
void give_way(const Where& where);

// Ends the launch with a std::runtime_error.
[[noreturn]] void trap(const Where& where);

}  // namespace cuda_shim

inline const uint3& threadIdx = cuda_shim::g_thread_index;
inline const uint3& blockIdx = cuda_shim::g_block_index;
inline const dim3& blockDim = cuda_shim::g_block_dim;
inline const dim3& gridDim = cuda_shim::g_grid_dim;
inline constexpr int warpSize = 32;

inline void __syncthreads(const cuda_shim::Where& where = cuda_shim::Where::here()) { cuda_shim::barrier(where); }
inline void __nanosleep(unsigned, const cuda_shim::Where& where = cuda_shim::Where::here()) {
  cuda_shim::give_way(where);
}
[[noreturn]] inline void __trap(const cuda_shim::Where& where = cuda_shim::Where::here()) { cuda_shim::trap(where); }

// One thread runs at a time: memory is always in order.
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

// A kernel begins when the one before it has ended.
inline void cudaGridDependencySynchronize() {}
inline void cudaTriggerProgrammaticLaunchCompletion() {}
