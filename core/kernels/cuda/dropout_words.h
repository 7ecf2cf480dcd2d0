// The random words of a dropout's mask on the device.
#pragma once

#include "core/base/philox.h"
#include "core/kernels/cuda/device/device_code.h"

namespace synthesizer::cuda {

// Of a counter of Philox the words that do not depend on the element or the step, and where x's elements lie in the
// whole mask.
struct DropoutDraw {
  uint32_t key0, key1, name_low;
  uint32_t threshold;  // kept if word >> 8 is at least this
  int64_t first, between_micro_batches;
  int64_t stride;  // in the mask, of neighbours in x
};

class DropoutWords {
 public:
  __device__ DropoutWords(const DropoutDraw& draw, int64_t step) : draw_(draw), step_(static_cast<uint64_t>(step)) {}

  __device__ PhiloxCounter of(uint64_t group) const {
    return philox(
        {static_cast<uint32_t>(group), static_cast<uint32_t>(group >> 32) ^ static_cast<uint32_t>(step_ >> 32),
         static_cast<uint32_t>(step_), draw_.name_low},
        {draw_.key0, draw_.key1});
  }
  __device__ uint32_t of_element(uint64_t element) const {
    const PhiloxCounter words = of(element / 4);
    const uint32_t low = element & 1 ? words[1] : words[0], high = element & 1 ? words[3] : words[2];
    return element & 2 ? high : low;
  }
  // Those of four neighbours, which may lie in two counters. (Every index is known when this is compiled, so that
  // nothing leaves the registers.)
  __device__ PhiloxCounter of_four(uint64_t element) const {
    const PhiloxCounter here = of(element / 4);
    if (element % 4 == 0) return here;
    const PhiloxCounter next = of(element / 4 + 1);
    uint32_t all[7] = {here[0], here[1], here[2], here[3], next[0], next[1], next[2]};
    if (element & 1)
      for (int i = 0; i < 6; ++i) all[i] = all[i + 1];
    if (element & 2)
      for (int i = 0; i < 4; ++i) all[i] = all[i + 2];
    return {all[0], all[1], all[2], all[3]};
  }

 private:
  const DropoutDraw& draw_;
  uint64_t step_;
};

}  // namespace synthesizer::cuda
