// Linformer (Wang et al. 2020): dot-product attention to k mixtures of the positions in place of the positions
// themselves. A mixture holds positions to come, so it is of encoders only, and a bias by position has no place in it.
#pragma once

#include "core/attention/standalone_attention.h"

namespace synthesizer {

class Linformer : public StandaloneAttention {
 public:
  using StandaloneAttention::StandaloneAttention;
  Value attend(const Scope& scope, const AttentionInput& in) const override;
};

}  // namespace synthesizer
