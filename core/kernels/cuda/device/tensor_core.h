// The tensor core's product of bfloat16 tiles, the loads of its operands from shared memory, and copies from global to
// shared memory that go on beside the arithmetic: the PTX instructions, one function each. For compute capability 8.0
// and up.
//
// Who holds what (PTX ISA, "Matrix fragments for mma.m16n8k16"), with g = lane / 4 and t = lane % 4; two bfloat16 a
// register, the lower column or row in the lower half:
//   A [16, 16]: a[0] = A[g][2t..], a[1] = A[g + 8][2t..], a[2] = A[g][2t + 8..], a[3] = A[g + 8][2t + 8..]
//   B [16, 8]:  b[0] = B[2t..][g], b[1] = B[2t + 8..][g]
//   D [16, 8]:  d[0], d[1] = D[g][2t], D[g][2t + 1]; d[2], d[3] = D[g + 8][2t], D[g + 8][2t + 1]
// All lanes of the warp call each of these but the copies. tests/support/cuda_shim has the same functions for the CPU.
#pragma once

#include <cstdint>

namespace synthesizer::cuda {

// An address as instructions on shared memory take it.
__device__ inline uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// d += a b, products of bfloat16 added in float32.
__device__ inline void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four matrices of 8 x 8 elements of 16 bits, matrix m into r[m]. Lane l gives the address of row l % 8 of matrix l /
// 8: 16 bytes of shared memory, aligned so. r[m] is then elements 2t and 2t + 1 of row g; of the transposed: of column
// g.
__device__ inline void ldmatrix_x4(uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(shared_row))
               : "memory");
}
__device__ inline void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(shared_row))
               : "memory");
}

// Two matrices: the addresses of lanes 0 to 15 count.
__device__ inline void ldmatrix_x2(uint32_t (&r)[2], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];\n"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(shared_row))
               : "memory");
}
__device__ inline void ldmatrix_x2_transposed(uint32_t (&r)[2], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];\n"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(shared_row))
               : "memory");
}

// Begins to copy 16 bytes, both sides aligned so, past the first-level cache; zeros if not `valid`, and then `global`
// is not read (but must be an address of the tensor). The bytes are there for this thread after copy_async_wait, and
// for others after a barrier that follows it.
__device__ inline void copy_async_16(void* shared, const void* global, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(shared)),
               "l"(__cvta_generic_to_global(global)), "r"(bytes)
               : "memory");
}

// Ends a group of this thread's copies.
__device__ inline void copy_async_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }

// Waits until at most the N latest groups of this thread are under way.
template <int N>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}

}  // namespace synthesizer::cuda
