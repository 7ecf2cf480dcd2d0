// A dropout's mask (core/ops/dropout.h) as every device draws it.
#pragma once

#include <cstdint>

#include "core/ops/dropout.h"
#include "core/tensor/dims.h"

namespace synthesizer {

// Philox's key, the words of the counter that depend on neither element nor step, and what of a word keeps an element.
struct DropoutKey {
  explicit DropoutKey(const Dropout& op);

  uint32_t key0, key1, name_low;
  uint32_t threshold;  // kept if word >> 8 is at least this: uniform_float(word) >= rate, in the integers it is made of
  double scale;        // of what is kept
};

// The whole mask: that of the step's whole batch, without the shared dims; and where the first element of x, what one
// rank has of one micro-batch, is in it.
struct WholeMask {
  WholeMask(const Dropout& op, const Shape& x);

  Shape shape;
  int64_t first = 0;                  // elements, in the first micro-batch
  int64_t between_micro_batches = 0;  // elements from one to the next
};

}  // namespace synthesizer
