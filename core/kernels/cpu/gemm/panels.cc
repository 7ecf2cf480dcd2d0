// float32 and bfloat16 products on machines with AVX-512: a thread packs a panel of B, which stays in its L2 cache, and
// runs down the rows of A with it. A's rows are read where they lie; A stored by columns (a weight's gradient) is
// packed too, a block of rows at a time, which all threads share. The inner dimension is never split among threads: the
// bits of a result do not depend on their number.
#include "core/kernels/cpu/gemm/panels.h"

#include <omp.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/kernels/cpu/loops/loops.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

using micro::kPanelColumns, micro::kPanelRows, micro::kPanelStep, micro::kUnitBytes;

// Units of a panel of B: 512 KiB, half of the L2 cache of the machines that this is for. A longer inner dimension is
// taken in pieces, where C holds sums.
constexpr int64_t kMostDepth = 2048;
// Of A packed at a time: what all threads share, or, where each has matrices of its own, what one has.
constexpr int64_t kSharedBytes = 6 << 20, kOwnBytes = 1 << 20;
// Rows of a block of A that is packed, at least: as long as it takes that packing a panel of B again does not show.
constexpr int64_t kLeastPanels = 16;
constexpr int64_t kLeastRows = 16, kLeastColumns = 16;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t per_unit(DType dtype) { return dtype == DType::kBFloat16 ? 2 : 1; }

struct PanelSizes {
  PanelSizes(const Product& product, int threads)
      : depth(ceil_div(product.k, per_unit(product.dtype))),
        panel_depth(product.c_type() == DType::kBFloat16 ? depth : std::min(depth, kMostDepth)),
        // A bfloat16 row of odd length ends in half a unit.
        packed(product.a.column != 1 || product.k % per_unit(product.dtype) != 0),
        // Matrix by matrix, where these go evenly among the threads.
        by_matrix(matrices(product) >= 8 * threads || (matrices(product) > 1 && matrices(product) % threads == 0)),
        a_panels(ceil_div(product.m, kPanelRows)),
        a_panel_bytes(align_up(depth * kPanelStep) + kAlignment) {
    block_panels = std::min(a_panels, std::max(kLeastPanels, (by_matrix ? kOwnBytes : kSharedBytes) / a_panel_bytes));
  }
  static int64_t matrices(const Product& product) { return product.batch[0] * product.batch[1]; }
  int64_t b_bytes() const { return panel_depth * kPanelColumns * kUnitBytes; }
  int64_t a_bytes() const { return packed ? block_panels * a_panel_bytes : 0; }

  int64_t depth, panel_depth;       // units: of the product, of a panel of B
  bool packed, by_matrix;           // whether A has to be packed; whether a thread does whole matrices
  int64_t a_panels, a_panel_bytes;  // one cache line more than a panel has: not all begin in the same sets of a cache
  int64_t block_panels;             // of a block of A
};

// Begin and end of the part'th of `parts` parts of `count`.
struct Part {
  Part(int64_t count, int64_t part, int64_t parts) : begin(count * part / parts), end(count * (part + 1) / parts) {}
  int64_t begin, end;
};

class PanelGemm : public Gemm {
 public:
  PanelGemm(const Product& product, int threads)
      : p_(product), sizes_(product, threads), threads_(threads), functions_(*panel_functions(product.dtype)) {}

  void run(const void* a, const void* b, void* c, void* workspace) const override { run_with({}, a, b, c, workspace); }

  void run_with(const EpilogueData& data, const void* a, const void* b, void* c, void* workspace) const override {
    CHECK((p_.epilogue == ProductEpilogue::kGate) == (data.gate != nullptr) && p_.bias == (data.bias != nullptr),
          "a product with a gate or a bias, which is not given, or one without");
    const Matrices all{static_cast<const std::byte*>(a), static_cast<const std::byte*>(b), static_cast<std::byte*>(c),
                       static_cast<const std::byte*>(data.gate), static_cast<const std::byte*>(data.bias)};
    auto* space = static_cast<std::byte*>(workspace);
    if (threads_ == 1) return run_as(0, 1, all, space);
#pragma omp parallel num_threads(threads_)
    run_as(omp_get_thread_num(), omp_get_num_threads(), all, space);
  }

  // All panels of B, each of the whole inner dimension.
  const void* prepare(const void* b, void* memory) const override {
    CHECK(threads_ == 1 && PanelSizes::matrices(p_) == 1 && !p_.bias,
          "B is prepared for products of one matrix by one thread");
    for (int64_t column = 0; column < p_.n; column += kPanelColumns)
      functions_.pack_b(static_cast<const std::byte*>(b) + column * p_.b.column * size_of(p_.dtype), p_.b.row,
                        p_.b.column, p_.k, std::min(kPanelColumns, p_.n - column),
                        static_cast<std::byte*>(memory) + column * sizes_.depth * kUnitBytes);
    return memory;
  }

  void run_prepared(const void* a, const void* prepared, void* c, void* workspace) const override {
    matrix({static_cast<const std::byte*>(a), nullptr, static_cast<std::byte*>(c), nullptr, nullptr,
            static_cast<const std::byte*>(prepared)},
           0, 1, nullptr, static_cast<std::byte*>(workspace) + sizes_.b_bytes());
  }

 private:
  struct Matrices {
    const std::byte *a, *b;
    std::byte* c;
    const std::byte *gate, *bias;         // or null
    const std::byte* prepared = nullptr;  // B, where b is null
  };

  void run_as(int thread, int team, const Matrices& all, std::byte* workspace) const {
    std::byte* const panel = workspace + thread * sizes_.b_bytes();
    std::byte* const packed = workspace + threads_ * sizes_.b_bytes();
    const int64_t count = PanelSizes::matrices(p_);
    const Part own = sizes_.by_matrix ? Part(count, thread, team) : Part(count, 0, 1);
    for (int64_t i = own.begin; i < own.end; ++i) {
      const auto offset = [&](const int64_t strides[2]) {
        return i / p_.batch[1] * strides[0] + i % p_.batch[1] * strides[1];
      };
      const auto at = [&](const MatrixStrides& s) { return offset(s.batch); };
      const int64_t size = size_of(p_.dtype);
      const int64_t c_size = size_of(p_.c_type()), of_c = at(p_.c) * c_size;
      const Matrices m{all.a + at(p_.a) * size, all.b + at(p_.b) * size, all.c + of_c,
                       all.gate == nullptr ? nullptr : all.gate + of_c,
                       all.bias == nullptr ? nullptr : all.bias + offset(p_.bias_batch) * c_size};
      if (sizes_.by_matrix)
        matrix(m, 0, 1, panel, packed + thread * sizes_.a_bytes());
      else
        matrix(m, thread, team, panel, packed);
    }
  }

  // This thread's part of one matrix.
  void matrix(const Matrices& m, int thread, int team, std::byte* panel, std::byte* packed) const {
    const int64_t b_panels = ceil_div(p_.n, kPanelColumns);
    if (!sizes_.packed) {
      const int across = row_parts(sizes_.a_panels, b_panels, team);
      rows(m, Part(sizes_.a_panels, thread % across, across), Part(b_panels, thread / across, team / across), 0, panel,
           nullptr);
      return;
    }
    for (int64_t first = 0; first < sizes_.a_panels; first += sizes_.block_panels) {
      const int64_t count = std::min(sizes_.block_panels, sizes_.a_panels - first);
      const Part own(count, thread, team);
      pack_a(m, first + own.begin, first + own.end, packed + own.begin * sizes_.a_panel_bytes);
      wait(team);
      const int across = row_parts(count, b_panels, team);
      rows(m, Part(count, thread % across, across), Part(b_panels, thread / across, team / across), first, panel,
           packed);
      wait(team);
    }
  }

  static void wait(int team) {
    if (team == 1) return;
#pragma omp barrier
  }

  // Into how many parts of rows, each of which packs B for itself, a team is split: a divisor of it. Those that leave
  // the busiest thread the least, and few rather than many.
  static int row_parts(int64_t a_panels, int64_t b_panels, int team) {
    int best = 1;
    int64_t least = 0;
    for (int across = 1; across <= team; ++across) {
      if (team % across != 0) continue;
      const int64_t most = ceil_div(a_panels, across) * ceil_div(b_panels, team / across);
      if (least == 0 || most < least) {
        least = most;
        best = across;
      }
    }
    return best;
  }

  void pack_a(const Matrices& m, int64_t begin, int64_t end, std::byte* to) const {
    const int64_t row = begin * kPanelRows;
    functions_.pack_a(m.a + row * p_.a.row * size_of(p_.dtype), p_.a.row, p_.a.column, p_.k,
                      std::min(end * kPanelRows, p_.m) - row, to, sizes_.a_panel_bytes);
  }

  // Panels of rows [own) of the block that begins at panel `first`, with panels of columns. `packed`: A's, of the
  // block.
  void rows(const Matrices& m, Part own, Part columns, int64_t first, std::byte* panel, const std::byte* packed) const {
    if (own.begin == own.end) return;
    const int64_t size = size_of(p_.dtype), c_size = size_of(p_.c_type()), row = (first + own.begin) * kPanelRows;
    micro::PanelProduct product;
    product.c_row = p_.c.row * c_size;
    product.rows = std::min(own.end + first, sizes_.a_panels) * kPanelRows;
    product.rows = std::min(product.rows, p_.m) - row;
    product.narrow = p_.c_type() == DType::kBFloat16;
    if (packed != nullptr) {
      product.a_tile = sizes_.a_panel_bytes;
      product.a_row = kUnitBytes;
      product.a_step = kPanelStep;
    } else {
      product.a_tile = kPanelRows * p_.a.row * size;
      product.a_row = p_.a.row * size;
      product.a_step = kUnitBytes;
    }
    const std::byte* const first_a =
        packed != nullptr ? packed + own.begin * sizes_.a_panel_bytes : m.a + row * p_.a.row * size;
    if (p_.triangle == Triangle::kLowerA) product.reach = micro::Reach::kUpToDiagonal;
    if (p_.triangle == Triangle::kUpperA) product.reach = micro::Reach::kFromDiagonal;
    const int64_t end = row + product.rows;
    for (int64_t j = columns.begin; j < columns.end; ++j) {
      const int64_t column = j * kPanelColumns;
      // Tiles above the diagonal of C are left out.
      const int64_t above =
          p_.triangle == Triangle::kLowerC ? std::max<int64_t>(0, (column - row) / kPanelRows) * kPanelRows : 0;
      if (row + above >= end) break;
      product.rows = end - row - above;
      product.columns = std::min(kPanelColumns, p_.n - column);
      product.c = m.c + (row + above) * product.c_row + column * c_size;
      const std::byte* const a = first_a + above / kPanelRows * product.a_tile;
      product.diagonal = row;
      const std::byte* const gate = m.gate == nullptr ? nullptr : m.gate + (static_cast<std::byte*>(product.c) - m.c);
      if (m.prepared != nullptr) {
        product.relu = p_.epilogue == ProductEpilogue::kRelu;
        product.a = a;
        product.b = m.prepared + column * sizes_.depth * kUnitBytes;
        product.depth = sizes_.depth;
        product.accumulate = p_.accumulate;
        functions_.multiply(product);
        continue;
      }
      for (int64_t at = 0; at < sizes_.depth; at += sizes_.panel_depth) {
        const int64_t k = at * per_unit(p_.dtype);
        product.depth = std::min(sizes_.panel_depth, sizes_.depth - at);
        product.diagonal = row - k;
        functions_.pack_b(m.b + (k * p_.b.row + column * p_.b.column) * size, p_.b.row, p_.b.column,
                          std::min(p_.k - k, product.depth * per_unit(p_.dtype)), product.columns, panel);
        product.a = a + at * product.a_step;
        product.b = panel;
        product.accumulate = p_.accumulate || at > 0;
        const bool last = at + product.depth == sizes_.depth;
        product.relu = last && p_.epilogue == ProductEpilogue::kRelu;
        product.gate = last ? gate : nullptr;
        product.bias = last && m.bias != nullptr ? m.bias + column * c_size : nullptr;
        functions_.multiply(product);
      }
    }
  }

  Product p_;
  PanelSizes sizes_;
  int threads_;
  const micro::Functions& functions_;
};

}  // namespace

const micro::Functions* panel_functions(DType dtype) {
  static const bool kFloat = best_isa() == Isa::kAvx512, kBFloat16 = kFloat && __builtin_cpu_supports("avx512bf16");
  if (dtype == DType::kFloat32 && kFloat) return &micro::float_functions();
  if (dtype == DType::kBFloat16 && kBFloat16) return &micro::bfloat16_functions();
  return nullptr;
}

bool goes_by_panels(const Product& product) {
  return std::max(product.m, product.most_m) >= kLeastRows && product.n >= kLeastColumns &&
         panel_functions(product.dtype) != nullptr;
}

int64_t panel_workspace(const Product& product, int threads) {
  const PanelSizes sizes(product, threads);
  return threads * sizes.b_bytes() + (sizes.by_matrix ? threads : 1) * sizes.a_bytes();
}

int64_t panel_prepared_bytes(const Product& product) {
  return align_up(ceil_div(product.k, per_unit(product.dtype)) * ceil_div(product.n, micro::kVector) * micro::kVector *
                  kUnitBytes);
}

int64_t panel_workspace_up_to(const Product& product, int threads) {
  const PanelSizes sizes(product, threads);
  const bool may_pack = sizes.packed || per_unit(product.dtype) > 1;
  const int64_t most = std::max(kLeastPanels * sizes.a_panel_bytes, sizes.by_matrix ? kOwnBytes : kSharedBytes);
  return threads * sizes.b_bytes() +
         (may_pack ? (sizes.by_matrix ? threads : 1) * std::min(most, sizes.a_panels * sizes.a_panel_bytes) : 0);
}

std::unique_ptr<Gemm> make_panel_gemm(const Product& product, int threads) {
  CHECK(panel_functions(product.dtype) != nullptr, "no tiles of {} on this machine", to_string(product.dtype));
  return std::make_unique<PanelGemm>(product, threads);
}

}  // namespace synthesizer
