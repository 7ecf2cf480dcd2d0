// The table of one instruction set's loops.
#include "core/kernels/cpu/loops/families.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

template <typename T>
Loops<T> all() {
  Loops<T> loops{};
  add_elementwise(loops);
  add_reductions(loops);
  add_softmax(loops);
  add_short_rows(loops);
  add_attention(loops);
  add_rms_norm(loops);
  add_random(loops);
  add_products(loops);
  add_windows(loops);
  return loops;
}

}  // namespace

LoopTables make_loops() { return {all<float>(), all<double>(), all<BFloat16>()}; }

}  // namespace synthesizer::SYNTHESIZER_ISA
