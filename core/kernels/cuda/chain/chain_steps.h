// The interpreter of a chain's program: a thread takes four elements of the index space, side by side, through all
// steps, so that finding out what a step is costs little beside doing it.
#pragma once

#include "core/kernels/cuda/chain/chain_program.h"
#include "core/kernels/cuda/sums.h"
#include "core/kernels/cuda/tensor_core.h"

namespace synthesizer::cuda {

template <typename T>
class ChainThread {
 public:
  // `program` and `slots` are shared; a slot is aligned to 16 bytes and has an element Four<T> of each thread.
  __device__ ChainThread(const unsigned char* program, Four<T>* slots)
      : program_(program), header_(*reinterpret_cast<const ChainHeader*>(program)), slots_(slots + threadIdx.x) {}

  // Elements [at, at + n), n <= 4; all lanes of a warp call it if sums.take(code, x, n) asks for them all, those
  // without an element with n = 0.
  template <typename Sums>
  __device__ void run(int64_t at, int n, const Sums& sums) const {
    const auto* loads = list<ChainLoad>(header_.loads_at);
    for (int i = 0; i < header_.loads; ++i) load(loads[i], at, n);
    copy_async_commit();
    copy_async_wait<0>();
    const auto* codes = list<ChainCode>(header_.codes_at);
    Four<T> latest = {};
    for (int s = 0; s < header_.codes; ++s) {
      const ChainCode code = codes[s];
      const Four<T> a = code.a == kNowhere ? latest : slot(code.a);
      if (code.op >= kSumOp) {
        end(code, a, at, n, sums);
        continue;
      }
      const Four<T> b = code.b == kNowhere ? latest : slot(code.b);
      latest = value(code, a, b);
      if (code.to != kNowhere) slot(code.to) = latest;
      if (code.output != kNowhere) store_four(latest, output<T>(code.output) + at, n);
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
  __device__ Four<T>& slot(int i) const { return slots_[i * static_cast<int>(blockDim.x)]; }

  __device__ void load(const ChainLoad& from, int64_t at, int n) const {
    if (n == 0) return;
    const T* x = input(from.input);
    Four<T>& to = slot(from.slot);
    if (from.whole == 0) {
      to = walked(x, list<ChainDim>(header_.dims_at) + from.dims, from.rank, at, n);
    } else if (n == kFour && reinterpret_cast<uintptr_t>(x + at) % 16 == 0) {
      constexpr int kOfCopy = 16 / static_cast<int>(sizeof(T));
      for (int j = 0; j < kFour; j += kOfCopy) copy_async_16(&to.at[j], x + at + j, true);
    } else {
      to = load_four(x + at, n);
    }
  }

  static __device__ Four<T> walked(const T* x, const ChainDim* dims, int rank, int64_t at, int n) {
    Four<T> read = {};
    if (rank == 0) {
      for (int j = 0; j < kFour; ++j) read.at[j] = x[0];
      return read;
    }
    const ChainDim last = dims[rank - 1];
    int64_t column = 0;
    const int64_t begin = offset(dims, rank, at, column);
    if (column + n <= last.size) {
      if (last.stride == 1) return load_four(x + begin, n);
      for (int j = 0; j < kFour; ++j)
        if (j < n) read.at[j] = x[begin + j * last.stride];
      return read;
    }
    for (int j = 0; j < kFour; ++j)
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
  __device__ Four<T> value(const ChainCode& code, const Four<T>& a, const Four<T>& b) const {
    Four<T> y;
    by_op<kUnaryOps, kSumOp>(code.op, [&]<int kOp>() {
      if constexpr (kOp == kCopyOp) {
        y = a;
      } else if constexpr (kOp < kBinaryOps) {
        T scale = 0, shift = 0;
        if constexpr (kOp == kUnaryOps + static_cast<int>(UnaryFunction::kAffine)) {
          const ChainConstants& constants = list<ChainConstants>(header_.constants_at)[code.of];
          scale = static_cast<T>(constants.scale);
          shift = static_cast<T>(constants.shift);
        }
        int op = 0;
        functors::each_unary<Math>([&]<typename F>() {
          if (op++ != kOp % functors::kUnaryFunctions) return;
          for (int j = 0; j < kFour; ++j)
            y.at[j] = kOp < kGradientOps ? F::template value<T>(a.at[j], scale, shift)
                                         : b.at[j] * F::template derivative<T>(a.at[j]);
        });
      } else {
        int op = kBinaryOps;
        functors::each_binary<Math>([&]<typename F>() {
          if (op++ != kOp) return;
          for (int j = 0; j < kFour; ++j) y.at[j] = F::template value<T>(a.at[j], b.at[j]);
        });
      }
    });
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
  __device__ void end(const ChainCode& code, const Four<T>& a, int64_t at, int n, const Sums& sums) const {
    if (code.op <= kSumSquaresOp) {
      sums.take(code, a, n);
    } else if (*input(code.of) == T(0)) {
      return;
    } else if (code.op == kAssignOp) {
      store_four(a, output<T>(code.output) + at, n);
    } else {
      Four<BFloat16> y;
      for (int j = 0; j < kFour; ++j) y.at[j] = rounded<BFloat16>(a.at[j]);
      store_four(y, output<BFloat16>(code.output) + at, n);
    }
  }

  const unsigned char* program_;
  const ChainHeader& header_;
  Four<T>* slots_;
};

}  // namespace synthesizer::cuda
