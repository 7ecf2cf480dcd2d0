#include <bit>

#include "core/base/error.h"
#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/tensor/bfloat16.h"
#include "dist/nccl/rank_sums.h"

namespace synthesizer::cuda {
namespace {

template <typename T, Reduction kReduction>
__device__ T join(T a, T b) {
  if constexpr (kReduction == Reduction::kSum) {
    return rounded<T>(widened(a) + widened(b));
  } else {
    return widened(a) >= widened(b) || widened(a) != widened(a) ? a : b;
  }
}

template <typename T, Reduction kReduction, int kWidth>
__device__ Pack<T, kWidth> join_packs(const Pack<T, kWidth>& a, const Pack<T, kWidth>& b) {
  Pack<T, kWidth> joined;
  for (int i = 0; i < kWidth; ++i) joined.at[i] = join<T, kReduction>(a.at[i], b.at[i]);
  return joined;
}

template <typename To, typename From, int kWidth>
__device__ Pack<To, kWidth> convert(const Pack<From, kWidth>& from) {
  Pack<To, kWidth> to;
  for (int i = 0; i < kWidth; ++i) to.at[i] = rounded<To>(widened(from.at[i]));
  return to;
}

// A thread walks the ranks in order and joins as a binary counter carries: levels[l] has the last whole subtree of 2^l
// ranks. The loop over levels is unrolled, so that they are registers. kLevels: 2^kLevels ranks at most.
template <typename Sent, typename T, typename Out, Reduction kReduction, int kWidth, int kLevels>
__global__ void join_ranks_kernel(RankTerms<Sent, T> terms, int64_t packs, Out* out) {
  using Packed = Pack<T, kWidth>;
  for (int64_t i = thread_of_grid(); i < packs; i += threads_of_grid()) {
    Packed levels[kLevels + 1] = {};
    for (int rank = 0; rank < terms.size; ++rank) {
      Packed value;
      if (rank == terms.own_rank)
        value = reinterpret_cast<const Packed*>(terms.own)[i];
      else
        value = convert<T>(reinterpret_cast<const Pack<Sent, kWidth>*>(terms.sent + rank * terms.stride)[i]);
      bool placed = false;
#pragma unroll
      for (int level = 0; level <= kLevels; ++level) {
        if (placed) continue;
        placed = (rank >> level & 1) == 0;
        if (placed)
          levels[level] = value;
        else
          value = join_packs<T, kReduction>(levels[level], value);
      }
    }
    Packed joined = {};
    bool any = false;
#pragma unroll
    for (int level = 0; level <= kLevels; ++level) {
      if ((terms.size >> level & 1) == 0) continue;
      joined = any ? join_packs<T, kReduction>(levels[level], joined) : levels[level];
      any = true;
    }
    reinterpret_cast<Pack<Out, kWidth>*>(out)[i] = convert<Out>(joined);
  }
}

template <typename To, typename From, int kWidth>
__global__ void convert_kernel(To* to, const From* from, int64_t packs) {
  for (int64_t i = thread_of_grid(); i < packs; i += threads_of_grid())
    reinterpret_cast<Pack<To, kWidth>*>(to)[i] = convert<To>(reinterpret_cast<const Pack<From, kWidth>*>(from)[i]);
}

template <int kWidth, typename T>
bool aligned(const T* data) {
  return reinterpret_cast<uintptr_t>(data) % (sizeof(T) * kWidth) == 0;
}

template <Reduction kReduction, typename Sent, typename T, typename Out>
void join_as(cudaStream_t stream, const RankTerms<Sent, T>& terms, int64_t count, Out* out) {
  constexpr int kWidth = kPack<T>, kFewLevels = 4, kMostLevels = 16;
  CHECK(std::bit_width(static_cast<unsigned>(terms.size)) <= kMostLevels + 1, "{} ranks", terms.size);
  const auto start = [&](auto width, auto levels) {
    const int64_t packs = count / width;
    launch(stream, {"join_ranks_kernel", packs == 0 ? 0 : blocks_for(packs)},
           join_ranks_kernel<Sent, T, Out, kReduction, decltype(width)::value, decltype(levels)::value>, terms, packs,
           out);
  };
  const bool wide = count % kWidth == 0 && terms.stride % kWidth == 0 && aligned<kWidth>(terms.sent) &&
                    aligned<kWidth>(terms.own) && aligned<kWidth>(out);
  // More levels are more registers: for many ranks, whose shares are small, narrow loads must do.
  if (terms.size > 1 << kFewLevels)
    start(std::integral_constant<int, 1>(), std::integral_constant<int, kMostLevels>());
  else if (wide)
    start(std::integral_constant<int, kWidth>(), std::integral_constant<int, kFewLevels>());
  else
    start(std::integral_constant<int, 1>(), std::integral_constant<int, kFewLevels>());
}

template <typename To, typename From>
void convert_to(cudaStream_t stream, To* to, const From* from, int64_t count) {
  constexpr int kWidth = 4;  // 16 bytes of float
  const bool wide = count % kWidth == 0 && aligned<kWidth>(to) && aligned<kWidth>(from);
  const int64_t packs = wide ? count / kWidth : count;
  launch(stream, {"convert_kernel", packs == 0 ? 0 : blocks_for(packs)},
         wide ? convert_kernel<To, From, kWidth> : convert_kernel<To, From, 1>, to, from, packs);
}

}  // namespace

template <typename T>
void join_ranks(cudaStream_t stream, Reduction reduction, const RankTerms<T, T>& terms, int64_t count, T* out) {
  if (reduction == Reduction::kSum)
    join_as<Reduction::kSum>(stream, terms, count, out);
  else
    join_as<Reduction::kMax>(stream, terms, count, out);
}
template void join_ranks(cudaStream_t, Reduction, const RankTerms<float, float>&, int64_t, float*);
template void join_ranks(cudaStream_t, Reduction, const RankTerms<double, double>&, int64_t, double*);
template void join_ranks(cudaStream_t, Reduction, const RankTerms<BFloat16, BFloat16>&, int64_t, BFloat16*);

template <typename Out>
void sum_rounded(cudaStream_t stream, const RankTerms<BFloat16, float>& terms, int64_t count, Out* out) {
  join_as<Reduction::kSum>(stream, terms, count, out);
}
template void sum_rounded(cudaStream_t, const RankTerms<BFloat16, float>&, int64_t, float*);
template void sum_rounded(cudaStream_t, const RankTerms<BFloat16, float>&, int64_t, BFloat16*);

void round_to(cudaStream_t stream, BFloat16* to, const float* from, int64_t count) {
  convert_to(stream, to, from, count);
}
void widen_to(cudaStream_t stream, float* to, const BFloat16* from, int64_t count) {
  convert_to(stream, to, from, count);
}

}  // namespace synthesizer::cuda
