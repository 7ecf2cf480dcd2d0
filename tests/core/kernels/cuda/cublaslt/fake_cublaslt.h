// A stand-in for cuBLASLt in a library of its own (libfake_cublaslt.so): of the C interface what
// core/kernels/cuda/cublaslt/library.h loads, as cublasLt.h documents it, on the host's memory, in the streams of the
// stand-in for CUDA. What tests ask of it besides, they find by name too.
#pragma once

#include <cublasLt.h>

// Calls `work(data)` on the host when the stream comes to it: cudaLaunchHostFunc, which the library cannot be linked
// to.
using FakeCublasLtLaunch = void (*)(CUstream_st* stream, void (*work)(void*), void* data);

// The algorithms that are proposed where they can do a product, in this order.
enum class FakeAlgorithm {
  kAligned,      // needs 16 bytes of alignment of matrices, columns and batches
  kBroken,       // fails at every product
  kSplit,        // has parts of sums in 1 MiB of workspace
  kInPlace,      // has them in the result, in an order of no certainty
  kRoomy,        // needs 64 MiB of workspace
  kUnsupported,  // comes with a state that says so
  kAny,
};

struct FakeCublasLtControl {
  // All as at the start, but for handles that are there.
  void (*reset)(FakeCublasLtLaunch launch);
  // The next call of this function ("cublasLtMatmul") returns `status`.
  void (*fail_next)(const char* function, cublasStatus_t status);
  // From now on this algorithm is neither proposed nor passed by cublasLtMatmulAlgoCheck: as by another driver.
  void (*withdraw)(FakeAlgorithm algorithm);
  // No algorithm is proposed for products with an epilogue that has this bit.
  void (*withdraw_epilogue)(unsigned bit);
  // Each product of this algorithm takes so long at least.
  void (*slow_down)(FakeAlgorithm algorithm, int microseconds);
  // Calls of a function since reset(); products done by an algorithm; products with this epilogue.
  int (*calls)(const char* function);
  int (*products)(FakeAlgorithm algorithm);
  int (*epilogues)(unsigned epilogue);
  // Handles, descriptions, layouts and preferences that are not destroyed.
  int (*live)();
};

// extern "C" FakeCublasLtControl fake_cublaslt_control();
//
// Where nothing is documented, the environment says how it is:
//   FAKE_CUBLASLT_BITS=reversed  bits of a relu's mask from the highest of a byte to the lowest, not the other way
//   FAKE_CUBLASLT_NAN=swallowed  relu(NaN) is 0, not NaN
