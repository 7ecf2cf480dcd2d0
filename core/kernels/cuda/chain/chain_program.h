// The steps of a chain as the device's interpreter reads them: one block of bytes, which goes to the kernel as an
// argument if it is small enough. Values live in slots: a few elements a thread and slot, in shared memory; what the
// next step reads stays in registers.
#pragma once

#include <span>
#include <vector>

#include "core/kernels/cuda/dropout_words.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/reduce_plan.h"
#include "core/ops/functors.h"

namespace synthesizer::cuda {

// Unary functions, their gradients, binary functions in the order of core/ops/functors.h, then these.
enum ChainOp {
  kUnaryOps = 0,
  kGradientOps = kUnaryOps + functors::kUnaryFunctions,
  kBinaryOps = kGradientOps + functors::kUnaryFunctions,
  kCopyOp = kBinaryOps + functors::kBinaryFunctions,
  kDropoutOp,     // of a: dropout number `of`
  kSumOp,         // of a: sum number `of`
  kSumSquaresOp,  // of a²
  kAssignOp,      // a to `output`, if input `of` is not 0
  kRoundOp,       // the same, rounded to bf16
};

inline constexpr uint8_t kNowhere = 255;  // as an operand: what the last step that made a value has made

// One step.
struct alignas(8) ChainCode {
  uint8_t op, a, b;  // slots
  uint8_t to;        // the slot, kNowhere: none
  uint8_t output;    // the result, kNowhere: none
  uint8_t of;        // of affine: the pair of its constants; of a dropout its mask
  uint8_t unused[2];
};
// An input that steps read.
struct alignas(8) ChainLoad {
  uint8_t input, slot;
  uint8_t whole;  // it lies as the index space does; else it is walked:
  uint8_t rank;   // dims, the last fastest,
  int32_t dims;   // the first of them
};
struct ChainDim {
  int64_t size, stride;  // of the index space, of the input
};
struct ChainConstants {
  double scale, shift;
};
// A dropout's mask.
struct ChainMask {
  DropoutDraw draw;
  double scale;
  uint8_t step, micro_batch;  // inputs, kNowhere: none
  uint8_t whole;              // it lies as the index space does; else it is walked:
  uint8_t rank;               // dims, the last fastest,
  int32_t dims;               // the first of them
};
// Where a sum goes: to y, or by group (or tile) to `partial`, if it is not null.
struct ChainSumPlace {
  void* y;
  double* partial;
  int64_t rows;  // whether it is over rows
};

// In front of all; where the others begin, in bytes.
struct alignas(16) ChainHeader {
  int64_t count;  // elements of the index space
  int32_t codes, loads, slots, sums;
  int32_t inputs_at, outputs_at, sums_at, constants_at, masks_at, dims_at, loads_at, codes_at;
  int32_t bytes;  // a multiple of 16
};

// A step of the chain that is a sum.
struct ChainSum {
  size_t output;  // among the results
  ReducePlan plan;
};

class ChainProgram {
 public:
  explicit ChainProgram(const KernelCase& c);

  const std::vector<ChainSum>& sums() const { return sums_; }
  int64_t bytes() const { return header().bytes; }
  int64_t slots() const { return header().slots; }
  int64_t count() const { return header().count; }
  const std::byte* data() const { return reinterpret_cast<const std::byte*>(words_.data()); }

  // `partials`: of each sum, may be null.
  void set_memory(std::span<void* const> inputs, std::span<void* const> outputs, std::span<double* const> partials);

 private:
  struct Word {
    alignas(16) unsigned char bytes[16];
  };
  const ChainHeader& header() const { return *reinterpret_cast<const ChainHeader*>(words_.data()); }
  std::byte* at(int32_t bytes) { return reinterpret_cast<std::byte*>(words_.data()) + bytes; }

  std::vector<ChainSum> sums_;
  std::vector<Word> words_;
};

}  // namespace synthesizer::cuda
