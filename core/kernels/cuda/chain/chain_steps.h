// The interpreter of a chain's program: a thread takes a few elements of the index space, side by side, through all
// steps, so that finding out what a step is costs little beside doing it.
#pragma once

#include "core/kernels/cuda/chain/chain_program.h"
#include "core/kernels/cuda/device/sums.h"
#include "core/kernels/cuda/device/tensor_core.h"

namespace synthesizer::cuda {

// How many elements: as many as are read at once, but four where sums are taken up so.
template <typename T>
inline constexpr int kChainWidth = sizeof(T) == 2 ? 8 : kFour;
template <typename T>
using ChainPack = Pack<T, kChainWidth<T>>;

template <typename T>
class ChainThread {
 public:
  static constexpr int kWidth = kChainWidth<T>;
  using Values = ChainPack<T>;
  using C = Compute<T>;

  // `program` and `slots` are shared; a slot is aligned to 16 bytes and has an element ChainPack<T> of each thread.
  __device__ ChainThread(const unsigned char* program, Values* slots)
      : program_(program), header_(*reinterpret_cast<const ChainHeader*>(program)), slots_(slots + threadIdx.x) {}

  // Elements [at, at + n), n <= kWidth; all lanes of a warp call it if sums.take(code, x, n) asks for them all, those
  // without an element with n = 0.
  template <typename Sums>
  __device__ void run(int64_t at, int n, const Sums& sums) const {
    const auto* loads = list<ChainLoad>(header_.loads_at);
    for (int i = 0; i < header_.loads; ++i) load(loads[i], at, n);
    copy_async_commit();
    copy_async_wait<0>();
    const auto* codes = list<ChainCode>(header_.codes_at);
    Values latest = {};
    for (int s = 0; s < header_.codes; ++s) {
      const ChainCode code = codes[s];
      const Values a = code.a == kNowhere ? latest : slot(code.a);
      if (code.op >= kSumOp) {
        end(code, a, at, n, sums);
        continue;
      }
      const Values b = code.b == kNowhere ? latest : slot(code.b);
      latest =
          code.op == kDropoutOp ? dropped(list<ChainMask>(header_.masks_at)[code.of], a, at, n) : value(code, a, b);
      if (code.to != kNowhere) slot(code.to) = latest;
      if (code.output != kNowhere) store_some(latest, output<T>(code.output) + at, n);
    }
  }

  __device__ const ChainSumPlace& sum_place(int sum) const { return list<ChainSumPlace>(header_.sums_at)[sum]; }
  __device__ int sums() const { return header_.sums; }
  __device__ int64_t count() const { return header_.count; }

 private:
  template <typename Entry>
  __device__ const Entry* list(int32_t at) const {
    return reinterpret_cast<const Entry*>(program_ + at);
  }
  __device__ const T* input(int i) const { return static_cast<const T*>(list<void*>(header_.inputs_at)[i]); }
  template <typename Y>
  __device__ Y* output(int i) const {
    return static_cast<Y*>(list<void*>(header_.outputs_at)[i]);
  }
  __device__ Values& slot(int i) const { return slots_[i * static_cast<int>(blockDim.x)]; }

  __device__ void load(const ChainLoad& from, int64_t at, int n) const {
    if (n == 0) return;
    const T* x = input(from.input);
    Values& to = slot(from.slot);
    if (from.whole == 0) {
      to = walked(x, list<ChainDim>(header_.dims_at) + from.dims, from.rank, at, n);
    } else if (n == kWidth && reinterpret_cast<uintptr_t>(x + at) % 16 == 0) {
      for (int j = 0; j < kWidth; j += kPack<T>) copy_async_16(&to.at[j], x + at + j, true);
    } else {
      to = load_some<kWidth>(x + at, n);
    }
  }

  static __device__ Values walked(const T* x, const ChainDim* dims, int rank, int64_t at, int n) {
    Values read = {};
    if (rank == 0) {
      for (int j = 0; j < kWidth; ++j) read.at[j] = x[0];
      return read;
    }
    const ChainDim last = dims[rank - 1];
    int64_t column = 0;
    const int64_t begin = offset(dims, rank, at, column);
    if (column + n <= last.size) {
      if (last.stride == 1) return load_some<kWidth>(x + begin, n);
      for (int j = 0; j < kWidth; ++j)
        if (j < n) read.at[j] = x[begin + j * last.stride];
      return read;
    }
    for (int j = 0; j < kWidth; ++j)
      if (j < n) read.at[j] = x[offset(dims, rank, at + j, column)];
    return read;
  }

  // `column` gets the index in the last dim. (Division of 32 bits is several times as fast as that of 64.)
  static __device__ int64_t offset(const ChainDim* dims, int rank, int64_t at, int64_t& column) {
    return at <= 0xFFFFFFFFll ? offset_as(dims, rank, static_cast<uint32_t>(at), column)
                              : offset_as(dims, rank, static_cast<uint64_t>(at), column);
  }
  template <typename Index>
  static __device__ int64_t offset_as(const ChainDim* dims, int rank, Index at, int64_t& column) {
    int64_t found = 0;
    for (int d = rank - 1; d > 0; --d) {
      const auto size = static_cast<Index>(dims[d].size);
      const Index rest = at / size, i = at - rest * size;
      if (d == rank - 1) column = static_cast<int64_t>(i);
      found += static_cast<int64_t>(i) * dims[d].stride;
      at = rest;
    }
    if (rank == 1) column = static_cast<int64_t>(at);
    return found + static_cast<int64_t>(at) * dims[0].stride;
  }

  // What a step makes; the functions are those of the ops alone.
  __device__ Values value(const ChainCode& code, const Values& a, const Values& b) const {
    Values y;
    by_op<kUnaryOps, kDropoutOp>(code.op, [&]<int kOp>() {
      if constexpr (kOp == kCopyOp) {
        y = a;
      } else if constexpr (kOp < kBinaryOps) {
        C scale = 0, shift = 0;
        if constexpr (kOp == kUnaryOps + static_cast<int>(UnaryFunction::kAffine)) {
          const ChainConstants& constants = list<ChainConstants>(header_.constants_at)[code.of];
          scale = static_cast<C>(constants.scale);
          shift = static_cast<C>(constants.shift);
        }
        int op = 0;
        functors::each_unary<Math>([&]<typename F>() {
          if (op++ != kOp % functors::kUnaryFunctions) return;
          for (int j = 0; j < kWidth; ++j)
            y.at[j] = rounded<T>(kOp < kGradientOps ? F::template value<C>(widened(a.at[j]), scale, shift)
                                                    : widened(b.at[j]) * F::template derivative<C>(widened(a.at[j])));
        });
      } else {
        int op = kBinaryOps;
        functors::each_binary<Math>([&]<typename F>() {
          if (op++ != kOp) return;
          for (int j = 0; j < kWidth; ++j)
            y.at[j] = rounded<T>(F::template value<C>(widened(a.at[j]), widened(b.at[j])));
        });
      }
    });
    return y;
  }

  // What a dropout makes of elements [at, at + n).
  __device__ Values dropped(const ChainMask& mask, const Values& x, int64_t at, int n) const {
    const auto told = [&](int i) { return *static_cast<const int64_t*>(list<void*>(header_.inputs_at)[i]); };
    const DropoutWords words(mask.draw, told(mask.step));
    const int64_t first =
        mask.draw.first + (mask.micro_batch == kNowhere ? 0 : told(mask.micro_batch) * mask.draw.between_micro_batches);
    const auto scale = static_cast<C>(mask.scale);
    Values y = {};
    const auto keep = [&](int j, uint32_t word) {
      y.at[j] = rounded<T>(widened(x.at[j]) * ((word >> 8) >= mask.draw.threshold ? scale : C(0)));
    };
    const ChainDim* dims = list<ChainDim>(header_.dims_at) + mask.dims;
    int64_t column = 0;
    const int64_t begin = mask.whole != 0 ? at : mask.rank == 0 ? 0 : offset(dims, mask.rank, at, column);
    if (mask.whole != 0 ||
        (mask.rank > 0 && dims[mask.rank - 1].stride == 1 && column + n <= dims[mask.rank - 1].size)) {
      for (int j = 0; j < kWidth; j += kFour) {
        const PhiloxCounter four = words.of_four(static_cast<uint64_t>(first + begin + j));
        for (int k = 0; k < kFour; ++k) keep(j + k, four[static_cast<size_t>(k)]);
      }
      return y;
    }
    for (int j = 0; j < kWidth; ++j)
      if (j < n)
        keep(j, words.of_element(
                    static_cast<uint64_t>(first + (mask.rank == 0 ? 0 : offset(dims, mask.rank, at + j, column)))));
    return y;
  }

  // visit.operator()<op>(), found among [kFrom, kTo) in as few comparisons as there can be.
  template <int kFrom, int kTo, typename Visit>
  static __device__ void by_op(int op, const Visit& visit) {
    if constexpr (kTo - kFrom == 1) {
      visit.template operator()<kFrom>();
    } else {
      constexpr int kMiddle = (kFrom + kTo) / 2;
      if (op < kMiddle)
        by_op<kFrom, kMiddle>(op, visit);
      else
        by_op<kMiddle, kTo>(op, visit);
    }
  }

  template <typename Sums>
  __device__ void end(const ChainCode& code, const Values& a, int64_t at, int n, const Sums& sums) const {
    if constexpr (sizeof(T) > 2) {  // in bf16 there are no ends
      if (code.op <= kSumSquaresOp) {
        sums.take(code, a, n);
      } else if (*input(code.of) == T(0)) {
        return;
      } else if (code.op == kAssignOp) {
        store_some(a, output<T>(code.output) + at, n);
      } else {
        Pack<BFloat16, kWidth> y;
        for (int j = 0; j < kWidth; ++j) y.at[j] = rounded<BFloat16>(a.at[j]);
        store_some(y, output<BFloat16>(code.output) + at, n);
      }
    }
  }

  const unsigned char* program_;
  const ChainHeader& header_;
  Values* slots_;
};

}  // namespace synthesizer::cuda
