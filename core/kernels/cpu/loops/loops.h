// The inner loops of the CPU kernels: runs of contiguous elements, one thread, no memory of their own. The files of
// this folder are compiled once for each instruction set; a kernel table takes the best the machine has. Nothing here
// may use inline functions of other headers: the linker might then give the whole program a copy that was compiled for
// instructions the machine lacks.
#pragma once

#include <cstdint>

#include "core/ops/functors.h"
#include "core/tensor/dtype.h"

namespace synthesizer {

enum class Isa { kBaseline, kAvx2, kAvx512 };

// Constants of one AdamW step; see core/ops/update.h.
struct AdamWStep {
  double beta1, beta2, epsilon, weight_decay, learning_rate, scale;
  double correction1, correction2;  // 1/(1−β1ᵗ), 1/(1−β2ᵗ)
};

// Philox's key and the words of the counter that do not depend on the element; see core/ops/dropout.h.
struct DropoutStream {
  uint32_t key0, key1, step_low, step_high, name_low;
  uint32_t threshold;  // kept if word >> 8 is at least this
};

// One small product: strides in elements.
struct SmallProduct {
  int64_t m, n, k;
  int64_t a_m, a_k, b_k, b_n, c_m, c_n;
};

constexpr int64_t kShortRow = 32;   // rows up to this are normalised several at once
constexpr int64_t kMostLanes = 16;  // elements of a vector of any instruction set

// A row of depthwise convolution's window: what it sees there, and the first head's weight.
template <typename C>
struct WindowPlace {
  const C* row;     // [heads, head]
  const C* weight;  // those of the heads are `window` apart
};
struct WindowHeads {
  int64_t heads, head, window;
};

// T is what tensors hold; scalars, and what is summed or normalised with, are Compute<T>.
template <typename T>
struct Loops {
  using C = Compute<T>;

  // Outputs may be the inputs.
  void (*unary[functors::kUnaryFunctions])(const T* x, T* y, int64_t n, C scale, C shift);
  void (*unary_gradient[functors::kUnaryFunctions])(const T* saved, const T* dy, T* dx, int64_t n);
  // Strides of a and b in elements.
  void (*binary[functors::kBinaryFunctions])(const T* a, int64_t a_stride, const T* b, int64_t b_stride, T* y,
                                             int64_t n);
  // y = x · factor, factors `stride` elements apart.
  void (*multiply_by)(const T* x, const C* factor, int64_t stride, T* y, int64_t n);
  // Between what is stored and what is calculated with.
  void (*load)(const T* x, C* y, int64_t n);
  void (*store)(const C* x, T* y, int64_t n);

  double (*sum)(const T* x, int64_t n);
  double (*sum_squares)(const T* x, int64_t n);
  C (*maximum)(const T* x, int64_t n);                              // NaN if any is
  void (*accumulate)(const T* x, double* sums, int64_t n);          // sums += x
  void (*accumulate_squares)(const T* x, double* sums, int64_t n);  // sums += x²
  void (*accumulate_maximum)(const T* x, double* maxima, int64_t n);

  // y = softmax(x + addend) over the keys j < seen with mask[j] != 0, 0 elsewhere in [0, n). addend and mask may be
  // null. No BFloat16: rows are loaded first, or they would be rounded on the way.
  void (*softmax)(const T* x, const T* addend, const int32_t* mask, T* y, int64_t n, int64_t seen);
  void (*softmax_gradient)(const T* y, const T* dy, T* dx, int64_t n, int64_t seen);

  // The same of `rows` rows one after the other, of n <= kShortRow each, with nothing added or masked.
  void (*softmax_rows)(const T* x, T* y, int64_t rows, int64_t n);
  void (*softmax_gradient_rows)(const T* y, const T* dy, T* dx, int64_t rows, int64_t n);

  // A row of attention that comes a block of n keys at a time. x + addend over the keys j < seen with mask[j] != 0
  // becomes exp(x + addend − maximum), 0 elsewhere, as it enters products; maximum (−∞ at first) and sum (0) are of all
  // blocks so far. Gives the factor of what was summed by earlier blocks, exp(old maximum − new). weights may be x.
  C(*attention_row)
  (const C* x, const C* addend, const int32_t* mask, T* weights, int64_t n, int64_t seen, C* maximum, double* sum);
  // The same scores become weights, exp(x + addend − log_sum), 0 elsewhere in [0, n); gives Σ weight · dx, of which the
  // gradients of the scores are weight · (dx − that sum over the whole row).
  double (*attention_weights_row)(T* x, const T* addend, const int32_t* mask, T log_sum, const T* dx, int64_t n,
                                  int64_t seen);
  // What follows from weights: dscore = weight · (dx − mean) of the keys seen, 0 elsewhere; it is added to `addend`,
  // unless that is null. Both are given as they enter products. They may begin where `from` and dx do, though they are
  // of a smaller type.
  void (*attention_gradient_row)(const C* from, const C* dx, C mean, int64_t n, int64_t seen, C* addend, T* weights,
                                 T* dscores);

  // A row x, or where `added` is not null sum = x + added, normalised; gives r. sum may be x or added.
  C (*rms_norm)(const T* x, const T* added, T* sum, const C* scale, T* y, int64_t n, double epsilon);
  // Rows of n. dx, plus base if that is not null; dscale += Σ x r dy in double. dx may be dy or base.
  void (*rms_norm_gradient)(const T* x, const C* scale, const C* r, const T* dy, const T* base, T* dx, double* dscale,
                            int64_t rows, int64_t n);

  // Adds a row of n logits to a running log-sum-exp: maximum, sum = Σ exp(l − maximum).
  void (*log_sum_exp)(const C* logits, int64_t n, C* maximum, double* sum);
  // exp(logit − log_z). The weights may be the logits.
  void (*word_weights)(const C* logits, T* weights, int64_t n, C log_z);
  // d = d_log_z · weight + d_mean. d may be the weights.
  void (*cross_entropy_gradient)(const T* weights, T* d, int64_t n, C d_log_z, C d_mean);

  // mask[i] = scale if element first + i is kept, else 0.
  void (*dropout_mask)(const DropoutStream& stream, uint64_t first, int64_t n, C scale, C* mask);

  void (*adamw)(const AdamWStep& step, T* parameter, T* first, T* second, const T* gradient, int64_t n);

  // C = A·B, or C += A·B. C's memory is neither A's nor B's.
  void (*small_product)(const SmallProduct& shape, const T* a, const T* b, T* c, bool add);
  // c[i·c_stride] (+)= Σ_k a[i·a_stride + k·a_k] · b[i·b_stride + k·b_k].
  void (*multiply)(const T* a, int64_t a_stride, int64_t a_k, const T* b, int64_t b_stride, int64_t b_k, T* c,
                   int64_t c_stride, int64_t n, int64_t k, bool add);
  // Depthwise convolution; no BFloat16: rows are loaded first, once for all that see them. y [heads, head] = the sum
  // over n places of weight · row.
  void (*window_row)(const WindowPlace<T>* places, int64_t n, const WindowHeads& of, T* y);
  // lanes[h, k] (+)= dy · row of head h at place k < n, as partial sums: lanes is [heads, window] of vectors of the
  // instruction set, at most kMostLanes elements each. lane_sums() adds them up, n vectors to n sums.
  void (*window_dots)(const T* dy, const WindowPlace<T>* places, int64_t n, const WindowHeads& of, T* lanes, bool add);
  void (*lane_sums)(const T* lanes, int64_t n, T* sums);
  int64_t lanes;  // elements of a vector
  // y += scale · x; the same with y as it is calculated with; Σ x y.
  void (*axpy)(C scale, const T* x, T* y, int64_t n);
  void (*add_to)(C scale, const T* x, C* y, int64_t n);
  double (*dot)(const T* x, const T* y, int64_t n);
};

struct LoopTables {
  Loops<float> f32;
  Loops<double> f64;
  Loops<BFloat16> bf16;
  template <typename T>
  const Loops<T>& of() const {
    if constexpr (sizeof(T) == 4)
      return f32;
    else if constexpr (sizeof(T) == 8)
      return f64;
    else
      return bf16;
  }
};

namespace baseline {
LoopTables make_loops();
}
namespace avx2 {
LoopTables make_loops();
}
namespace avx512 {
LoopTables make_loops();
}

// The best the machine has.
Isa best_isa();
// Throws Error if the machine cannot run them.
LoopTables make_loops(Isa isa);

}  // namespace synthesizer
