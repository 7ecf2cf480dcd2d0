// Registers to matrices and back, as PTX lays them out, and copies that wait.
#include "tests/support/cuda_shim/include/core/kernels/cuda/device/tensor_core.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <stdexcept>

#include "tests/support/cuda_shim/block.h"

namespace cuda_shim {
namespace {

constexpr unsigned kWholeWarp = ~0u;

struct Product {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};

struct Load {
  uint32_t* r;
  int count;
  bool transposed;
  const void* row;
};

double low(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
double high(uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

// d += a b, from the lanes' registers to matrices and back. A sum is rounded once; a device rounds in between.
void work_product(WarpCall* const lanes[32]) {
  double a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<const Product*>(lanes[lane]->data);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = g + (i % 2) * 8, column = 2 * t + (i / 2) * 8;
      a[row][column] = low(own.a[i]);
      a[row][column + 1] = high(own.a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      b[2 * t + i * 8][g] = low(own.b[i]);
      b[2 * t + i * 8 + 1][g] = high(own.b[i]);
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<const Product*>(lanes[lane]->data);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + (i / 2) * 8, column = 2 * (lane % 4) + i % 2;
      double sum = own.d[i];
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      own.d[i] = static_cast<float>(sum);
    }
  }
}

void work_load(WarpCall* const lanes[32]) {
  const auto load = [&](int lane) -> const Load& { return *static_cast<const Load*>(lanes[lane]->data); };
  const int count = load(0).count;
  const bool transposed = load(0).transposed;
  for (int matrix = 0; matrix < count; ++matrix) {
    uint16_t elements[8][8];
    for (int row = 0; row < 8; ++row) std::memcpy(elements[row], load(matrix * 8 + row).row, 16);
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4;
      const uint32_t first = transposed ? elements[2 * t][g] : elements[g][2 * t];
      const uint32_t second = transposed ? elements[2 * t + 1][g] : elements[g][2 * t + 1];
      load(lane).r[matrix] = first | second << 16;
    }
  }
}

// Different instructions do not meet.
template <int kCount, bool kTransposed>
void work_load_as(WarpCall* const lanes[32]) {
  work_load(lanes);
}

void check_aligned(const void* address, const char* what) {
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0)
    throw std::runtime_error(fmt::format("{}: address {}, expected one of 16-byte alignment", what, address));
}

}  // namespace

void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const Where& where) {
  Product own{d, a, b};
  WarpCall call{kWholeWarp, work_product, "mma_16x8x16", where};
  call.data = &own;
  meet(call);
}

void ldmatrix(uint32_t* r, int count, bool transposed, const void* shared_row, const Where& where) {
  if (lane() < count * 8) check_aligned(shared_row, "ldmatrix");
  Load own{r, count, transposed, shared_row};
  const WarpWork work = count == 4 ? (transposed ? work_load_as<4, true> : work_load_as<4, false>)
                                   : (transposed ? work_load_as<2, true> : work_load_as<2, false>);
  WarpCall call{kWholeWarp, work, "ldmatrix", where};
  call.data = &own;
  meet(call);
}

void copy_async_16(void* shared, const void* global, bool valid) {
  check_aligned(shared, "copy_async_16 to");
  check_aligned(global, "copy_async_16 from");
  PendingCopies& pending = block().pending_copies();
  std::memset(shared, 0xFF, 16);
  pending.copies.push_back({shared, valid ? global : nullptr, pending.open_group});
}

void copy_async_commit() { ++block().pending_copies().open_group; }

void copy_async_wait(int groups_left) {
  PendingCopies& pending = block().pending_copies();
  const int end = pending.open_group - groups_left;  // groups before this one are to be there
  size_t done = 0;
  for (; done < pending.copies.size() && pending.copies[done].group < end; ++done) {
    const PendingCopies::Copy& copy = pending.copies[done];
    if (copy.from == nullptr)
      std::memset(copy.to, 0, 16);
    else
      std::memcpy(copy.to, copy.from, 16);
  }
  pending.copies.erase(pending.copies.begin(), pending.copies.begin() + static_cast<std::ptrdiff_t>(done));
}

}  // namespace cuda_shim
