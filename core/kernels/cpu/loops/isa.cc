// Which instruction sets the machine has. Compiled once, for the baseline.
#include "core/base/error.h"
#include "core/kernels/cpu/loops/loops.h"

namespace synthesizer {

Isa best_isa() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return avx2 && avx512 ? Isa::kAvx512 : avx2 ? Isa::kAvx2 : Isa::kBaseline;
}

LoopTables make_loops(Isa isa) {
  if (isa > best_isa())
    fail("this machine lacks the instructions of the loops asked for: set {}", static_cast<int>(isa));
  return isa == Isa::kAvx512 ? avx512::make_loops() : isa == Isa::kAvx2 ? avx2::make_loops() : baseline::make_loops();
}

}  // namespace synthesizer
