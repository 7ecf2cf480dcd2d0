// One row of a depthwise convolution: the rows in its window times the weights of each head, and what its gradient
// gives to these weights.
#include "core/kernels/cpu/loops/families.h"
#include "core/kernels/cpu/loops/lanes.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

// Channels [at, at + kVectors · kCount) of one head, whose weights are `head_weight` behind those of the first.
template <int kVectors, typename C>
inline void window_channels(const WindowPlace<C>* places, int64_t n, int64_t head_weight, int64_t at, C* y) {
  using L = Lanes<C>;
  typename L::Vector sums[kVectors] = {};
  for (int64_t k = 0; k < n; ++k) {
    const C weight = places[k].weight[head_weight];
    const C* x = places[k].row + at;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[v] += weight * L::load(x + v * L::kCount);
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) L::store(sums[v], y + at + v * L::kCount);
}

template <typename C>
void window_row(const WindowPlace<C>* places, int64_t n, const WindowHeads& of, C* y) {
  constexpr int64_t kCount = Lanes<C>::kCount;
  for (int64_t h = 0; h < of.heads; ++h) {
    const int64_t begin = h * of.head, end = begin + of.head, weight = h * of.window;
    if (of.head < kCount) {
      for (int64_t at = begin; at < end; ++at) {
        C sum = 0;
        for (int64_t k = 0; k < n; ++k) sum += places[k].weight[weight] * places[k].row[at];
        y[at] = sum;
      }
      continue;
    }
    int64_t at = begin;
    for (; at + 4 * kCount <= end; at += 4 * kCount) window_channels<4>(places, n, weight, at, y);
    for (; at + kCount <= end; at += kCount) window_channels<1>(places, n, weight, at, y);
    if (at < end) window_channels<1>(places, n, weight, end - kCount, y);  // some once more
  }
}

// The part of channels [at, at + kVectors · kCount) of one head, dy of which stays in registers.
template <int kVectors, typename C>
inline void dots_of_channels(const C* dy, const WindowPlace<C>* places, int64_t n, int64_t at, C* lanes, bool add) {
  using L = Lanes<C>;
  typename L::Vector d[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) d[v] = L::load(dy + at + v * L::kCount);
  for (int64_t k = 0; k < n; ++k) {
    const C* x = places[k].row + at;
    C* out = lanes + k * L::kCount;
    typename L::Vector sum = d[0] * L::load(x);
#pragma GCC unroll 4
    for (int v = 1; v < kVectors; ++v) sum += d[v] * L::load(x + v * L::kCount);
    L::store(add ? L::load(out) + sum : sum, out);
  }
}

template <typename C>
void window_dots(const C* dy, const WindowPlace<C>* places, int64_t n, const WindowHeads& of, C* lanes, bool add) {
  constexpr int64_t kCount = Lanes<C>::kCount;
  for (int64_t h = 0; h < of.heads; ++h, lanes += of.window * kCount) {
    int64_t at = h * of.head;
    const int64_t end = at + of.head;
    bool more = add;  // to what is there
    for (; at + 4 * kCount <= end; at += 4 * kCount, more = true) dots_of_channels<4>(dy, places, n, at, lanes, more);
    for (; at + kCount <= end; at += kCount, more = true) dots_of_channels<1>(dy, places, n, at, lanes, more);
    for (int64_t k = 0; (at < end || !more) && k < n; ++k) {
      C* out = lanes + k * kCount;
      for (int64_t i = 0; !more && i < kCount; ++i) out[i] = 0;
      for (int64_t i = 0; i < end - at; ++i) out[i] += dy[at + i] * places[k].row[at + i];
    }
  }
}

template <typename C>
void lane_sums(const C* lanes, int64_t n, C* sums) {
  using L = Lanes<C>;
  typename L::Vector vectors[L::kCount];
  for (; n >= L::kCount; n -= L::kCount, lanes += L::kCount * L::kCount, sums += L::kCount) {
#pragma GCC unroll 16
    for (int64_t i = 0; i < L::kCount; ++i) vectors[i] = L::load(lanes + i * L::kCount);
    L::store(L::sums_of_each(vectors), sums);
  }
  if (n == 0) return;
  for (int64_t i = 0; i < L::kCount; ++i) vectors[i] = i < n ? L::load(lanes + i * L::kCount) : typename L::Vector{};
  const typename L::Vector last = L::sums_of_each(vectors);
  for (int64_t i = 0; i < n; ++i) sums[i] = last[i];
}

}  // namespace

template <typename T>
void add_windows(Loops<T>& loops) {
  if constexpr (sizeof(T) >= 4) {
    loops.window_row = window_row<T>;
    loops.window_dots = window_dots<T>;
    loops.lane_sums = lane_sums<T>;
    loops.lanes = Lanes<T>::kCount;
  }
}
template void add_windows(Loops<float>&);
template void add_windows(Loops<double>&);
template void add_windows(Loops<BFloat16>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
