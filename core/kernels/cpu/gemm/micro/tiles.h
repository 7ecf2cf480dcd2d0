// The loops of micro.h for one kind of Element: `Value` in memory, kPerUnit of them a unit, and what to do with units.
// Includes nothing of the standard library: what these files compile must not be taken for the rest of the program.
#pragma once

#include <immintrin.h>

#include "core/kernels/cpu/gemm/micro/micro.h"

namespace synthesizer::micro {

inline __mmask16 first(int64_t count) { return static_cast<__mmask16>(count >= 16 ? 0xffff : (1u << count) - 1); }

// A vector of sums as it is to be stored. `gate`: of the vector, or null.
template <typename Element>
__m512 finished(const PanelProduct& p, __m512 sums, const char* gate, __mmask16 mask) {
  const __m512 zero = _mm512_setzero_ps();
  if (p.relu) sums = _mm512_mask_mov_ps(sums, _mm512_cmp_ps_mask(sums, zero, _CMP_LT_OQ), zero);
  if (gate == nullptr) return sums;
  const __m512 g = p.narrow ? Element::load_narrow(gate, mask) : _mm512_maskz_loadu_ps(mask, gate);
  return _mm512_mul_ps(sums, _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(g, zero, _CMP_GT_OQ), _mm512_set1_ps(1)));
}

// R rows, V vectors, of `depth` units from a and b on. `next`: the next tile's rows, or null.
template <typename Element, int R, int V>
void tile(const PanelProduct& p, const char* a, const char* b, int64_t depth, char* c, const char* next) {
  __m512 sums[R][V];
#pragma GCC unroll 6
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) sums[i][j] = _mm512_setzero_ps();
  const int64_t row = p.a_row, step = p.a_step;
  const auto unit = [&](int64_t at) {
    __m512 columns[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) columns[j] = _mm512_loadu_ps(b + (at * V + j) * 64);
#pragma GCC unroll 6
    for (int i = 0; i < R; ++i) {
      int bits;  // a unit may lie at any address that an element may
      __builtin_memcpy(&bits, a + i * row + at * step, sizeof(bits));
      const __m512 value = _mm512_castsi512_ps(_mm512_set1_epi32(bits));
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) sums[i][j] = Element::add_products(sums[i][j], value, columns[j]);
    }
  };
  const int64_t c_vector = p.narrow ? 32 : 64;
  if (p.accumulate)
#pragma GCC unroll 6
    for (int i = 0; i < R; ++i)
      for (int64_t at = 0; at < V * c_vector; at += 64) _mm_prefetch(c + i * p.c_row + at, _MM_HINT_T0);
  // Of the tile's first element, or null.
  const char* const gate =
      p.gate == nullptr ? nullptr : static_cast<const char*>(p.gate) + (c - static_cast<const char*>(p.c));
  if (gate != nullptr)
#pragma GCC unroll 6
    for (int i = 0; i < R; ++i)
      for (int64_t at = 0; at < V * c_vector; at += 64) _mm_prefetch(gate + i * p.c_row + at, _MM_HINT_T0);
  int64_t at = 0;
  if (next != nullptr) {  // the next tile's rows are far apart: the processor does not foresee them
    for (; at + 16 <= depth; at += 16) {
#pragma GCC unroll 6
      for (int i = 0; i < R; ++i) _mm_prefetch(next + i * row + at * step, _MM_HINT_T1);
#pragma GCC unroll 4
      for (int64_t u = 0; u < 16; ++u) unit(at + u);
    }
  }
#pragma GCC unroll 4
  for (; at < depth; ++at) unit(at);
  __m512 biases[V];
  if (p.bias != nullptr)
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) {
      const char* const bias = static_cast<const char*>(p.bias) + j * c_vector;
      const __mmask16 mask = j + 1 < V ? 0xffff : first(p.columns - j * kVector);
      biases[j] = p.narrow ? Element::load_narrow(bias, mask) : _mm512_maskz_loadu_ps(mask, bias);
    }
#pragma GCC unroll 6
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) {
      const __mmask16 mask = j + 1 < V ? 0xffff : first(p.columns - j * kVector);
      char* const to = c + i * p.c_row + j * c_vector;
      if (p.accumulate)
        sums[i][j] =
            _mm512_add_ps(p.narrow ? Element::load_narrow(to, mask) : _mm512_maskz_loadu_ps(mask, to), sums[i][j]);
      if (p.bias != nullptr) sums[i][j] = _mm512_add_ps(sums[i][j], biases[j]);
      if (p.relu || gate != nullptr)
        sums[i][j] = finished<Element>(p, sums[i][j], gate == nullptr ? nullptr : gate + (to - c), mask);
      if (p.narrow)
        Element::store_narrow(sums[i][j], to, mask);
      else
        _mm512_mask_storeu_ps(to, mask, sums[i][j]);
    }
}

struct Units {
  int64_t begin, end;
};

// Those of a tile of `rows` rows from row i on.
template <typename Element>
Units units_of(const PanelProduct& p, int64_t i, int64_t rows) {
  const int64_t first = p.diagonal + i, last = first + rows - 1;
  Units units{0, p.depth};
  if (p.reach == Reach::kUpToDiagonal)
    units.end = last < 0 ? 0 : last / Element::kPerUnit + 1;
  else if (p.reach == Reach::kFromDiagonal)
    units.begin = first < 0 ? 0 : first / Element::kPerUnit;
  if (units.end > p.depth) units.end = p.depth;
  if (units.begin > p.depth) units.begin = p.depth;
  return units;
}

template <typename Element, int V>
void multiply_rows(const PanelProduct& p) {
  using Tile = void (*)(const PanelProduct&, const char*, const char*, int64_t, char*, const char*);
  static constexpr Tile kTiles[] = {tile<Element, 1, V>, tile<Element, 2, V>, tile<Element, 3, V>,
                                    tile<Element, 4, V>, tile<Element, 5, V>, tile<Element, 6, V>};
  const char* a = static_cast<const char*>(p.a);
  char* c = static_cast<char*>(p.c);
  const bool in_rows = p.a_step == kUnitBytes;  // A's own rows, not panels
  for (int64_t i = 0; i < p.rows; i += kPanelRows, a += p.a_tile, c += kPanelRows * p.c_row) {
    const int64_t left = p.rows - i;
    const Units units = units_of<Element>(p, i, left < kPanelRows ? left : kPanelRows);
    const char* const from = a + units.begin * p.a_step;
    const char* const b = static_cast<const char*>(p.b) + units.begin * V * 64;
    const int64_t depth = units.end - units.begin;
    if (left >= kPanelRows)
      tile<Element, kPanelRows, V>(p, from, b, depth, c, in_rows && left >= 2 * kPanelRows ? from + p.a_tile : nullptr);
    else
      kTiles[left - 1](p, from, b, depth, c, nullptr);
  }
}

template <typename Element>
void multiply(const PanelProduct& p) {
  switch (panel_vectors(p.columns)) {
    case 1:
      return multiply_rows<Element, 1>(p);
    case 2:
      return multiply_rows<Element, 2>(p);
    case 3:
      return multiply_rows<Element, 3>(p);
    default:
      return multiply_rows<Element, 4>(p);
  }
}

// rows[i][j] to rows[j][i], of 16 × 16 units.
inline void transpose(__m512i rows[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // Now a quarter of rows[4g + c] is, for each lane l, column 4l + c of rows 4g to 4g + 3.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512i low01 = _mm512_shuffle_i32x4(rows[c], rows[c + 4], 0x88),
                  high01 = _mm512_shuffle_i32x4(rows[c], rows[c + 4], 0xdd);
    const __m512i low23 = _mm512_shuffle_i32x4(rows[c + 8], rows[c + 12], 0x88),
                  high23 = _mm512_shuffle_i32x4(rows[c + 8], rows[c + 12], 0xdd);
    t[c] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    t[c + 8] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    t[c + 4] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    t[c + 12] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) rows[i] = t[i];
}

// Rows that lie apart are not foreseen by the processor: those of a few units ahead are called for. (A prefetch of an
// address that is not there does nothing.)
template <typename Element>
void prefetch_rows(const typename Element::Value* rows, int64_t row, int64_t columns) {
  constexpr int64_t kAhead = 64;
  for (int64_t r = kAhead; r < kAhead + Element::kPerUnit; ++r)
    for (int64_t j = 0; j < columns; j += 64 / static_cast<int64_t>(sizeof(*rows)))
      _mm_prefetch(reinterpret_cast<const char*>(rows + r * row + j), _MM_HINT_T1);
}

template <typename Element>
void pack_b(const void* b, int64_t row, int64_t column, int64_t inner, int64_t columns, void* panel) {
  using Value = typename Element::Value;
  const auto* from = static_cast<const Value*>(b);
  const int64_t vectors = panel_vectors(columns), depth = (inner + Element::kPerUnit - 1) / Element::kPerUnit;
  char* const to = static_cast<char*>(panel);
  if (column == 1) {
    for (int64_t p = 0; p < depth; ++p) {
      const Value* const at = from + p * Element::kPerUnit * row;
      prefetch_rows<Element>(at, row, columns);
      for (int64_t j = 0; j < vectors; ++j)
        _mm512_storeu_si512(
            to + (p * vectors + j) * 64,
            Element::zip(at + j * kVector, row, inner - p * Element::kPerUnit, first(columns - j * kVector)));
    }
    return;
  }
  for (int64_t j = 0; j < vectors; ++j) {
    const int64_t here = columns - j * kVector;
    for (int64_t p = 0; p < depth; p += 16) {
      __m512i units[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        units[i] = i < here ? Element::load_units(from + (j * kVector + i) * column + p * Element::kPerUnit,
                                                  inner - p * Element::kPerUnit)
                            : _mm512_setzero_si512();
      transpose(units);
      const int64_t count = depth - p < 16 ? depth - p : 16;
      for (int64_t i = 0; i < count; ++i) _mm512_storeu_si512(to + ((p + i) * vectors + j) * 64, units[i]);
    }
  }
}

inline void store_a(char* to, __m512i units) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(units));
}

// A unit of eight panels, from that of 48 rows.
inline void store_eight(char* to, int64_t panel_bytes, __m512i x, __m512i y, __m512i z) {
  store_a(to, x);
  store_a(to + panel_bytes, _mm512_alignr_epi32(y, x, 6));
  store_a(to + 2 * panel_bytes, _mm512_alignr_epi32(y, x, 12));
  store_a(to + 3 * panel_bytes, _mm512_alignr_epi32(z, y, 2));
  store_a(to + 4 * panel_bytes, _mm512_alignr_epi32(z, y, 8));
  store_a(to + 5 * panel_bytes, _mm512_alignr_epi32(z, y, 14));
  store_a(to + 6 * panel_bytes, _mm512_alignr_epi32(z, z, 4));
  store_a(to + 7 * panel_bytes, _mm512_alignr_epi32(z, z, 10));
}

template <typename Element>
void pack_a(const void* a, int64_t row, int64_t column, int64_t inner, int64_t rows, void* panels,
            int64_t panel_bytes) {
  using Value = typename Element::Value;
  const auto* from = static_cast<const Value*>(a);
  const int64_t depth = (inner + Element::kPerUnit - 1) / Element::kPerUnit;
  char* const to = static_cast<char*>(panels);
  if (row == 1) {
    for (int64_t p = 0; p < depth; ++p) {
      const Value* const at = from + p * Element::kPerUnit * column;
      const int64_t left = inner - p * Element::kPerUnit;
      prefetch_rows<Element>(at, column, rows);
      int64_t r = 0;
      for (; r + 48 <= rows; r += 48)
        store_eight(to + r / kPanelRows * panel_bytes + p * kPanelStep, panel_bytes,
                    Element::zip(at + r, column, left, 0xffff), Element::zip(at + r + 16, column, left, 0xffff),
                    Element::zip(at + r + 32, column, left, 0xffff));
      for (; r < rows; r += kPanelRows)
        store_a(to + r / kPanelRows * panel_bytes + p * kPanelStep,
                Element::zip(at + r, column, left, first(rows - r < kPanelRows ? rows - r : kPanelRows)));
    }
    return;
  }
  for (int64_t i = 0; i < rows; i += kPanelRows)
    for (int64_t p = 0; p < depth; p += 16) {
      __m512i units[16];
#pragma GCC unroll 16
      for (int64_t r = 0; r < 16; ++r)
        units[r] = r < kPanelRows && i + r < rows ? Element::load_units(from + (i + r) * row + p * Element::kPerUnit,
                                                                        inner - p * Element::kPerUnit)
                                                  : _mm512_setzero_si512();
      transpose(units);
      const int64_t count = depth - p < 16 ? depth - p : 16;
      for (int64_t u = 0; u < count; ++u) store_a(to + i / kPanelRows * panel_bytes + (p + u) * kPanelStep, units[u]);
    }
}

template <typename Element>
const Functions& functions() {
  static constexpr Functions kFunctions = {multiply<Element>, pack_b<Element>, pack_a<Element>};
  return kFunctions;
}

}  // namespace synthesizer::micro
