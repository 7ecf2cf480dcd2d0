// core/kernels/cuda/device/tensor_core.h for the CPU: the same functions, with the layouts of registers that PTX gives,
// through an exchange of the whole warp. A copy fills its target with 0xFF at once and brings the bytes when it is
// waited for, so that a missing wait shows, and a target that is still being read.
#pragma once

#include <cstdint>

#include "cuda_shim/where.h"

namespace cuda_shim {

// d, a and b of one lane; see the real header.
void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const Where& where);
// `count` is 2 or 4.
void ldmatrix(uint32_t* r, int count, bool transposed, const void* shared_row, const Where& where);
void copy_async_16(void* shared, const void* global, bool valid);
void copy_async_commit();
void copy_async_wait(int groups_left);

}  // namespace cuda_shim

namespace synthesizer::cuda {

inline void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                        const cuda_shim::Where& where = cuda_shim::Where::here()) {
  cuda_shim::mma_16x8x16(d, a, b, where);
}
inline void ldmatrix_x4(uint32_t (&r)[4], const void* shared_row,
                        const cuda_shim::Where& where = cuda_shim::Where::here()) {
  cuda_shim::ldmatrix(r, 4, false, shared_row, where);
}
inline void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* shared_row,
                                   const cuda_shim::Where& where = cuda_shim::Where::here()) {
  cuda_shim::ldmatrix(r, 4, true, shared_row, where);
}
inline void ldmatrix_x2(uint32_t (&r)[2], const void* shared_row,
                        const cuda_shim::Where& where = cuda_shim::Where::here()) {
  cuda_shim::ldmatrix(r, 2, false, shared_row, where);
}
inline void ldmatrix_x2_transposed(uint32_t (&r)[2], const void* shared_row,
                                   const cuda_shim::Where& where = cuda_shim::Where::here()) {
  cuda_shim::ldmatrix(r, 2, true, shared_row, where);
}
inline void copy_async_16(void* shared, const void* global, bool valid) {
  cuda_shim::copy_async_16(shared, global, valid);
}
inline void copy_async_commit() { cuda_shim::copy_async_commit(); }
template <int N>
inline void copy_async_wait() {
  cuda_shim::copy_async_wait(N);
}

}  // namespace synthesizer::cuda
