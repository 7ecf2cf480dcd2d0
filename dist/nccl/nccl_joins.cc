// NcclCommunicator's reductions that are made here and not by NCCL: by exchange, and the kernels of rank_sums.h.
#include <algorithm>

#include "core/base/error.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/tensor/storage.h"
#include "dist/nccl/nccl_communicator.h"
#include "dist/nccl/nccl_exchange.h"
#include "dist/nccl/nccl_family.h"
#include "dist/nccl/rank_sums.h"
#include "dist/traffic.h"

namespace synthesizer {
namespace {

using cuda::RankTerms;

// What ranks send lies side by side, each at a multiple of what kernels load at once.
template <typename T>
int64_t stride_of(int64_t count) {
  return align_up(count * static_cast<int64_t>(sizeof(T))) / static_cast<int64_t>(sizeof(T));
}

// Calls f with a null pointer to the type that dtype names.
template <typename F>
void with_floating(DType dtype, const F& f) {
  if (dtype == DType::kFloat32) return f(static_cast<float*>(nullptr));
  if (dtype == DType::kFloat64) return f(static_cast<double*>(nullptr));
  if (dtype == DType::kBFloat16) return f(static_cast<BFloat16*>(nullptr));
  fail("[nccl] {} is not joined here", to_string(dtype));
}

}  // namespace

bool NcclCommunicator::joins(DType dtype, Reduction reduction) const {
  return is_floating(dtype) && size() > 1 && (reduction == Reduction::kMax || family_.options.ordered);
}

template <typename T>
void NcclCommunicator::send_shares(const NcclCall& call, const T* image, int64_t count, T* received, int64_t stride) {
  constexpr auto kWidth = static_cast<int64_t>(sizeof(T));
  const auto first = [&](int r) { return share_begin(count, r, size()); };
  const int64_t mine = first(rank() + 1) - first(rank());
  exchange(
      call,
      [&](int r) {
        return Sent{image + first(r), (first(r + 1) - first(r)) * kWidth};
      },
      [&](int r) {
        return Received{received + r * stride, mine * kWidth};
      });
}

// By NCCL's all-gather where it can be: between hosts it sends each share once to each, not to each of their GPUs.
template <typename T>
void NcclCommunicator::gather_shares(const NcclCall& call, T* image, int64_t count) {
  constexpr auto kWidth = static_cast<int64_t>(sizeof(T));
  const auto first = [&](int r) { return share_begin(count, r, size()); };
  const auto bytes = [&](int r) { return (first(r + 1) - first(r)) * kWidth; };
  if (count % size() == 0) return gather(call, image + first(rank()), image, bytes(rank()));
  exchange(
      call,
      [&](int) {
        return Sent{image + first(rank()), bytes(rank())};
      },
      [&](int r) {
        return Received{image + first(r), bytes(r)};
      });
}

void NcclCommunicator::all_reduce_joined(const NcclCall& call, void* data, int64_t count, DType dtype,
                                         Reduction reduction) {
  with_floating(dtype, [&]<typename T>(T*) { all_reduce_of(call, static_cast<T*>(data), count, reduction); });
}

template <typename T>
void NcclCommunicator::all_reduce_of(const NcclCall& call, T* data, int64_t count, Reduction reduction) {
  constexpr auto kWidth = static_cast<int64_t>(sizeof(T));
  if (reduces_by_gathering(count * kWidth, size())) {
    T* const all = reinterpret_cast<T*>(family_.scratch(1));
    gather(call, data, all, count * kWidth);
    const RankTerms<T, T> terms{.sent = all, .stride = count, .own = nullptr, .own_rank = -1, .size = size()};
    return cuda::join_ranks(stream(), reduction, terms, count, data);
  }
  const int64_t most = family_.options.piece_bytes / kWidth;
  for (int64_t begin = 0; begin < count; begin += most)
    all_reduce_piece(call, data + begin, std::min(most, count - begin), reduction);
}

template <typename T>
void NcclCommunicator::all_reduce_piece(const NcclCall& call, T* data, int64_t count, Reduction reduction) {
  const int64_t begin = share_begin(count, rank(), size()), mine = share_begin(count, rank() + 1, size()) - begin;
  const int64_t stride = stride_of<T>(mine);
  T* const received = reinterpret_cast<T*>(family_.scratch(1));
  send_shares(call, data, count, received, stride);
  const RankTerms<T, T> terms{
      .sent = received, .stride = stride, .own = data + begin, .own_rank = rank(), .size = size()};
  cuda::join_ranks(stream(), reduction, terms, mine, data + begin);
  gather_shares(call, data, count);
}

void NcclCommunicator::reduce_scatter_joined(const NcclCall& call, const void* in, void* out, int64_t count,
                                             DType dtype, Reduction reduction) {
  with_floating(dtype, [&]<typename T>(T*) {
    reduce_scatter_of(call, static_cast<const T*>(in), static_cast<T*>(out), count, reduction);
  });
}

template <typename T>
void NcclCommunicator::reduce_scatter_of(const NcclCall& call, const T* in, T* out, int64_t count,
                                         Reduction reduction) {
  constexpr auto kWidth = static_cast<int64_t>(sizeof(T));
  T* const received = reinterpret_cast<T*>(family_.scratch(1));
  const int64_t most = std::max<int64_t>(1, family_.options.piece_bytes / kWidth / size());
  for (int64_t begin = 0; begin < count; begin += most) {
    const int64_t elements = std::min(most, count - begin), stride = stride_of<T>(elements);
    exchange(
        call,
        [&](int r) {
          return Sent{in + r * count + begin, elements * kWidth};
        },
        [&](int r) {
          return Received{received + r * stride, elements * kWidth};
        });
    const RankTerms<T, T> terms{
        .sent = received, .stride = stride, .own = in + rank() * count + begin, .own_rank = rank(), .size = size()};
    cuda::join_ranks(stream(), reduction, terms, elements, out + begin);
  }
}

void NcclCommunicator::all_reduce_rounded(float* data, int64_t count) {
  if (size() == 1 || count == 0) return;
  constexpr int64_t kWidth = size_of(DType::kBFloat16);
  const NcclCall call{"all_reduce_rounded", count * kWidth};
  if (reduces_by_gathering(count * kWidth, size())) {
    // All add the same rounded terms, so that there is no sum to send, and none to round.
    auto* const own = reinterpret_cast<BFloat16*>(family_.scratch(0));
    auto* const all = reinterpret_cast<BFloat16*>(family_.scratch(1));
    cuda::round_to(stream(), own, data, count);
    gather(call, own, all, count * kWidth);
    const RankTerms<BFloat16, float> terms{
        .sent = all, .stride = count, .own = nullptr, .own_rank = -1, .size = size()};
    return cuda::sum_rounded(stream(), terms, count, data);
  }
  const int64_t most = family_.options.piece_bytes / kWidth;
  for (int64_t begin = 0; begin < count; begin += most)
    all_reduce_rounded_piece(call, data + begin, std::min(most, count - begin));
}

// As all_reduce_piece, on an image of the piece as it travels.
void NcclCommunicator::all_reduce_rounded_piece(const NcclCall& call, float* data, int64_t count) {
  const int64_t begin = share_begin(count, rank(), size()), mine = share_begin(count, rank() + 1, size()) - begin;
  const int64_t stride = stride_of<BFloat16>(mine);
  auto* const image = reinterpret_cast<BFloat16*>(family_.scratch(0));
  auto* const received = reinterpret_cast<BFloat16*>(family_.scratch(1));
  cuda::round_to(stream(), image, data, count);
  send_shares(call, image, count, received, stride);
  const RankTerms<BFloat16, float> terms{
      .sent = received, .stride = stride, .own = data + begin, .own_rank = rank(), .size = size()};
  cuda::sum_rounded(stream(), terms, mine, image + begin);
  gather_shares(call, image, count);
  cuda::widen_to(stream(), data, image, count);
}

void NcclCommunicator::reduce_scatter_rounded(const float* in, float* out, int64_t count) {
  if (count == 0) return;
  constexpr int64_t kWidth = size_of(DType::kBFloat16);
  const NcclCall call{"reduce_scatter_rounded", count * kWidth * size()};
  if (size() == 1) return reduce_scatter(in, out, count, DType::kFloat32, Reduction::kSum);
  auto* const image = reinterpret_cast<BFloat16*>(family_.scratch(0));
  auto* const received = reinterpret_cast<BFloat16*>(family_.scratch(1));
  const int64_t most = std::max<int64_t>(1, family_.options.piece_bytes / kWidth / size());
  for (int64_t begin = 0; begin < count; begin += most) {
    const int64_t elements = std::min(most, count - begin), stride = stride_of<BFloat16>(elements);
    if (elements == count)  // the blocks lie side by side
      cuda::round_to(stream(), image, in, count * size());
    else
      for (int r = 0; r < size(); ++r)
        if (r != rank()) cuda::round_to(stream(), image + r * elements, in + r * count + begin, elements);
    exchange(
        call,
        [&](int r) {
          return Sent{image + r * elements, elements * kWidth};
        },
        [&](int r) {
          return Received{received + r * stride, elements * kWidth};
        });
    const RankTerms<BFloat16, float> terms{
        .sent = received, .stride = stride, .own = in + rank() * count + begin, .own_rank = rank(), .size = size()};
    cuda::sum_rounded(stream(), terms, elements, out + begin);
  }
}

}  // namespace synthesizer
