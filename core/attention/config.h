// What a configuration may say of one stack's self-attention, as plain data. Defaults are the paper's reading.
#pragma once

#include <cstdint>
#include <string>

namespace synthesizer {

// How the parts of a mixture are weighted.
enum class Mixture {
  kSoftmax,  // the paper: softmax of a trained vector, one entry a part
  kSigmoid,  // the authors' code: exactly two parts, s the first and 1 - s the second, s = sigmoid of a trained scalar
  kSum,      // no weights
};

// Whether a mixture has one set of weights or each head its own.
enum class MixtureScope { kLayer, kHead };

// How R, Fix and FR are drawn; initial.h says each one's numbers.
enum class RandomInit {
  kGlorot,  // mesh-tensorflow's: next to uniform attention at first
  kXavier,  // JAX's, as the authors' Long Range Arena has it
  kNormal,  // alignments of standard deviation 1, as large as the dot product's
};

// The width of the hidden layer of D and FD.
enum class DenseWidth {
  kHead,   // d_head, a layer of its own for each head: the authors' code
  kModel,  // d_model, one layer for all heads: the paper's text
};

struct AttentionConfig {
  std::string kind = "V";    // in the paper's notation: "V", "R", "FR+FD", …
  int64_t max_length = 512;  // L: what is sized by position is made at L and cut to the batch's length
  int64_t factor_rank = 8;   // k of FR and of Linformer
  int64_t factor_a = 0;      // a of FD, a·b = L; 0: the divisor of L nearest to sqrt(L) from above
  Mixture mixture = Mixture::kSoftmax;
  MixtureScope mixture_scope = MixtureScope::kLayer;
  RandomInit random_init = RandomInit::kGlorot;
  DenseWidth dense_width = DenseWidth::kHead;
  bool share_across_heads = false;  // D, FD: one W2 (Wa, Wb) for all heads
  bool share_query = false;         // D, FD beside V: W1 is V's query matrix, as the authors' dense_plus has it
  bool dense_bias = true;           // D, FD: b1 and b2 of equation 2
  bool tie_key_value = false;       // one matrix for keys and values
  int64_t bottleneck = 16;          // width of Bottleneck and ConvBottleneck
  int64_t filter_width = 3;         // positions that Conv, ConvBottleneck, LightConv and DynConv see
  int64_t conv_heads = 0;           // of LightConv and DynConv, a divisor of d_model; 0: num_heads
  bool scale = false;  // V divided by sqrt(d_head); false: folded into the query's initial values, as T5 has it
};

}  // namespace synthesizer
