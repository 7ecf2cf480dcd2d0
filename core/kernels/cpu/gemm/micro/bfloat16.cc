// Tiles of bfloat16: two to a unit, by the instructions of AVX512_BF16. Sums are float32.
#include "core/kernels/cpu/gemm/micro/tiles.h"

namespace synthesizer::micro {
namespace {

struct Brain {
  using Value = uint16_t;
  static constexpr int64_t kPerUnit = 2;

  static __m512 add_products(__m512 sums, __m512 a, __m512 b) {
    return _mm512_dpbf16_ps(sums, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
  static __m512 load_narrow(const char* from, __mmask16 mask) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from)), 16));
  }
  static void store_narrow(__m512 sums, char* to, __mmask16 mask) {
    _mm256_mask_storeu_epi16(to, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sums)));
  }
  // Unit j is elements j of two rows that lie `row` apart; the second is zero where `left` is one.
  static __m512i zip(const uint16_t* from, int64_t row, int64_t left, __mmask16 columns) {
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(columns, from));
    if (left < 2) return low;
    const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(columns, from + row));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
  }
  static __m512i load_units(const uint16_t* from, int64_t left) {
    return _mm512_maskz_loadu_epi16(static_cast<__mmask32>(left >= 32 ? 0xffffffff : (1u << left) - 1), from);
  }
};

}  // namespace

const Functions& bfloat16_functions() { return functions<Brain>(); }

}  // namespace synthesizer::micro
