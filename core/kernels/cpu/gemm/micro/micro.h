// The inner loops of products by panels (../panels.h), for AVX-512. Compiled once for each kind of element.
//
// A "unit" is what 32 bits of a row of A or a column of B hold: one float, or two bfloat16 that follow each other in
// the inner dimension. `depth` is counted in units; of an odd number of bfloat16 the last unit is half zero. A panel of
// B is [depth, kVector · vectors] units, of up to kPanelColumns columns; a panel of A is [depth, kPanelRows] units,
// kPanelStep bytes apart. What columns or rows a panel has beyond its own is zero.
//
// The shape of the tile and the loops around it follow Goto & van de Geijn 2008, "Anatomy of High-Performance Matrix
// Multiplication": six rows by four vectors take 24 of the 32 registers, and each load of B serves six products.
#pragma once

#include <cstdint>

namespace synthesizer::micro {

inline constexpr int64_t kVector = 16;        // floats of a register
inline constexpr int64_t kPanelRows = 6;      // rows of a tile
inline constexpr int64_t kPanelColumns = 64;  // columns of a tile
inline constexpr int64_t kUnitBytes = 4;
inline constexpr int64_t kPanelStep = 32;  // bytes from unit to unit of a panel of A: six of eight are used

// Which elements of a row of A there are to be multiplied, seen from the one on the diagonal.
enum class Reach { kAll, kUpToDiagonal, kFromDiagonal };

// C [rows, columns] (+)= A · B, of one panel of B. Strides in bytes.
struct PanelProduct {
  const void* a;  // unit (i, p) is at (i / kPanelRows) · a_tile + (i % kPanelRows) · a_row + p · a_step
  int64_t a_tile, a_row, a_step;
  const void* b;  // a panel
  int64_t depth;
  void* c;
  int64_t c_row;
  int64_t rows, columns;
  bool accumulate;
  bool narrow;                 // C is bfloat16, else float
  const void* bias = nullptr;  // of the columns, of C's type: added before relu and gate
  bool relu = false;           // x < 0 ? 0 : x, before it is stored
  const void* gate = nullptr;  // x · (g > 0 ? 1 : 0): where g of C's first element is, of C's type and strides
  Reach reach = Reach::kAll;
  int64_t diagonal = 0;  // of the first row: the element of the inner dimension, from the panel's first, may be outside
};

struct Functions {
  void (*multiply)(const PanelProduct& product);
  // B's panel from `columns` columns; element (k, j) is at b[k · row + j · column], of which one stride is 1. `inner`
  // elements of the inner dimension. A panel has panel_vectors(columns) vectors a unit.
  void (*pack_b)(const void* b, int64_t row, int64_t column, int64_t inner, int64_t columns, void* panel);
  // A's panels from `rows` rows, `panel_bytes` apart; element (i, k) is at a[i · row + k · column], of which one stride
  // is 1.
  void (*pack_a)(const void* a, int64_t row, int64_t column, int64_t inner, int64_t rows, void* panels,
                 int64_t panel_bytes);
};

inline int64_t panel_vectors(int64_t columns) { return (columns + kVector - 1) / kVector; }

// To be called on machines with AVX-512 (F, BW, DQ, VL), the second with AVX512_BF16 too.
const Functions& float_functions();
const Functions& bfloat16_functions();

}  // namespace synthesizer::micro
