// Attention whose scores stay in the block that makes them: a block takes a tile of queries and goes through tiles of
// keys, with the maximum and the sum of exponentials of what it has seen (Dao et al. 2022, "FlashAttention").
#include <algorithm>

#include "core/kernels/cuda/attention/dot_apart.h"
#include "core/kernels/cuda/attention/dot_forward.h"
#include "core/kernels/cuda/attention/dot_tiles.h"
#include "core/kernels/cuda/attention/shared_keys.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {
namespace {

// A block: example, head, 64 of Y's columns, 64 queries, in this order, so that blocks that run at a time read the same
// keys and values.
template <typename E>
__global__ void __launch_bounds__(kTileThreads)
    dot_attention_kernel(const __grid_constant__ DotArguments<E> g, E* y, Compute<E>* log_sum) {
  using T = Compute<E>;
  const int tiles = (g.length + kTile - 1) / kTile, chunks = (g.head + kTile - 1) / kTile;
  int64_t block = blockIdx.x;
  const int i0 = static_cast<int>(block % tiles) * kTile;
  block /= tiles;
  const int a0 = static_cast<int>(block % chunks) * kTile;
  block /= chunks;
  const int h = static_cast<int>(block % g.heads), b = static_cast<int>(block / g.heads);

  const TileMemory<T> memory;
  T maximum[kEach], sum[kEach] = {};
#pragma unroll
  for (T& value : maximum) value = minus_infinity<T>();
  unsigned seen = 0;  // of a thread's elements, bit kEach r + c
  Elements<T> mixed;
  clear(mixed);
  for (int j0 = 0; j0 < g.memory; j0 += kTile) {
    if (!tile_is_seen(g, b, i0, j0)) continue;
    Elements<T> s;
    scores_of(g, memory, b, h, i0, j0, s);
    unsigned visible = 0;
    T largest[kEach];
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
      largest[r] = maximum[r];
#pragma unroll
      for (int c = 0; c < kEach; ++c)
        if (sees(g, b, i0 + tile_row() + r, j0 + tile_column() + c)) {
          visible |= 1u << (kEach * r + c);
          largest[r] = Largest::of(largest[r], s[r][c]);
        }
    }
    seen |= visible;
    reduce_rows<Largest>(largest);
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
      const T base = largest[r] == minus_infinity<T>() ? T(0) : largest[r];  // nothing but −∞ so far: weights of 0
      const T scale = Math::exp(maximum[r] - base);
      maximum[r] = largest[r];
      sum[r] *= scale;
#pragma unroll
      for (int c = 0; c < kEach; ++c) {
        s[r][c] = (visible >> (kEach * r + c) & 1) != 0 ? Math::exp(s[r][c] - base) : T(0);
        sum[r] += s[r][c];
        mixed[r][c] *= scale;
      }
    }
    put_by_key<E>(memory, s);
    add_weighted(
        memory, g.memory - j0,
        [&](int column, int k) {
          return a0 + column < g.head ? widened(g.values[g.key(b, j0 + k, h) * g.head + a0 + column]) : T(0);
        },
        mixed);
  }
  reduce_rows<Sum>(sum);
#pragma unroll
  for (int apart = kSide / 2; apart > 0; apart /= 2) seen |= __shfl_xor_sync(kAllLanes, seen, apart);
#pragma unroll
  for (int r = 0; r < kEach; ++r) {
    const int i = i0 + tile_row() + r;
    if (i >= g.length) continue;
    const bool any = (seen >> (kEach * r) & 0xFu) != 0;
    const T factor = T(1) / sum[r];  // scores that are all −∞ give NaN, as a softmax does
#pragma unroll
    for (int c = 0; c < kEach; ++c)
      if (const int a = a0 + tile_column() + c; a < g.head)
        y[g.query(b, i, h) * g.head + a] = rounded<E>(any ? mixed[r][c] * factor : T(0));
    if (a0 == 0 && tile_column() == 0) log_sum[g.row(b, h, i)] = any ? maximum[r] + Math::log(sum[r]) : T(0);
  }
}

template <typename E>
class DotAttentionKernel : public Kernel {
 public:
  using T = Compute<E>;

  explicit DotAttentionKernel(const KernelCase& c)
      : context_(c.context),
        options_(c.as<DotAttention>().options()),
        s_(c, options_),
        apart_(context_, s_, /*backward=*/false) {}

  static int64_t workspace(const KernelCase& c) {
    const DotSizes s(c, c.as<DotAttention>().options());
    Carver carver(nullptr);
    Scratch(s, *c.context.products, carver);
    return carver.used();
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    Carver carver(workspace);
    const Scratch scratch(s_, *context_.products, carver);
    DotArguments<E> all = with_placed_keys(context_.stream, dot_arguments<E>(s_, inputs), scratch.keys);
    if constexpr (std::is_same_v<E, BFloat16>)
      if (s_.tensor_cores()) all = with_rounded_keys(context_.stream, all, scratch.keys);
    apart_.round_keys(inputs, scratch.apart);
    all.apart = scratch.apart.scores;
    for (int64_t first = 0; first < s_.batch; first += s_.chunk) {
      apart_.make_scores(inputs, first, scratch.apart);
      const int64_t rows = first * s_.length * s_.heads;
      attend(of_examples(all, first, std::min(s_.chunk, s_.batch - first)), output<E>(outputs, 0) + rows * s_.head,
             output<T>(outputs, 1) + rows);
    }
    context_.count(&KernelCounters::softmax_runs, 1);
    context_.count(&KernelCounters::softmax_rows, s_.batch * s_.heads * s_.length);
    // Products apart are the library's to count.
    context_.count(&KernelCounters::product_flops, 2 * s_.multiplied_scores() * (s_.inner + s_.head));
  }

 private:
  struct Scratch {
    Scratch(const DotSizes& s, const ProductLibrary& products, Carver& carver)
        : apart(s, /*backward=*/false, products, carver),
          keys(carver.take<E>(s.copied_keys_bytes() / static_cast<int64_t>(sizeof(E)))) {}
    typename ScoresApart<E>::Space apart;
    E* keys;  // shared ones, copied
  };

  void attend(const DotArguments<E>& g, E* y, T* log_sum) const {
    if constexpr (std::is_same_v<E, BFloat16>)
      if (s_.tensor_cores()) return dot_attention_by_mma(context_.stream, g, static_cast<int>(s_.inner), y, log_sum);
    launch(context_.stream,
           {"dot_attention_kernel", g.batch * s_.heads * tiles_of(s_.head) * tiles_of(s_.length), kTileThreads,
            TileMemory<T>::kBytes},
           dot_attention_kernel<E>, g, y, log_sum);
  }

  CudaContext context_;
  DotAttentionOptions options_;
  DotSizes s_;
  ScoresApart<E> apart_;
};

}  // namespace

std::span<const KernelEntry> dot_attention_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(DotAttention), make_by_output<DotAttentionKernel>, workspace_by_output<DotAttentionKernel>}};
  return kEntries;
}

}  // namespace synthesizer::cuda
