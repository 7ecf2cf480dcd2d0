// The families of loops of one instruction set; tables.cc makes one table of them. SYNTHESIZER_ISA, the namespace's
// name, comes from the build.
#pragma once

#include "core/kernels/cpu/loops/element.h"
#include "core/kernels/cpu/loops/loops.h"

namespace synthesizer::SYNTHESIZER_ISA {

template <typename T>
void add_elementwise(Loops<T>& loops);
template <typename T>
void add_reductions(Loops<T>& loops);
template <typename T>
void add_softmax(Loops<T>& loops);
template <typename T>
void add_short_rows(Loops<T>& loops);
template <typename T>
void add_attention(Loops<T>& loops);
template <typename T>
void add_rms_norm(Loops<T>& loops);
template <typename T>
void add_random(Loops<T>& loops);
template <typename T>
void add_products(Loops<T>& loops);
template <typename T>
void add_windows(Loops<T>& loops);

}  // namespace synthesizer::SYNTHESIZER_ISA
