// Tiles of float32: one to a unit.
#include "core/kernels/cpu/gemm/micro/tiles.h"

namespace synthesizer::micro {
namespace {

struct Float {
  using Value = float;
  static constexpr int64_t kPerUnit = 1;

  static __m512 add_products(__m512 sums, __m512 a, __m512 b) { return _mm512_fmadd_ps(a, b, sums); }
  // Its products are float.
  static __m512 load_narrow(const char*, __mmask16) { return _mm512_setzero_ps(); }
  static void store_narrow(__m512, char*, __mmask16) {}
  // Unit j is element j of the row.
  static __m512i zip(const float* row, int64_t, int64_t, __mmask16 columns) {
    return _mm512_castps_si512(_mm512_maskz_loadu_ps(columns, row));
  }
  // Up to 16 units that follow each other, of `left` elements.
  static __m512i load_units(const float* from, int64_t left) {
    return _mm512_castps_si512(_mm512_maskz_loadu_ps(first(left), from));
  }
};

}  // namespace

const Functions& float_functions() { return functions<Float>(); }

}  // namespace synthesizer::micro
