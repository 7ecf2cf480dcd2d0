// What a configuration may say of a model, as plain data: sizes and switches, nothing of devices, batches or training.
#pragma once

#include <cstdint>

#include "core/attention/config.h"

namespace synthesizer {

enum class Structure {
  kEncoderDecoder,     // T5
  kDecoder,            // a causal language model
  kEncoderClassifier,  // the encoder alone, the mean of its live positions into a linear layer
};

// Where what is sized by position (R, D, …) finds a token of a row that holds several documents.
enum class PackedPositions {
  kDocument,  // by its place in its document: as where the document is alone, and in decoding
  kRow,       // by its place in the row: mesh-tensorflow's training
};

struct ModelConfig {
  Structure structure = Structure::kEncoderDecoder;
  int64_t vocab = 0;         // ids that may occur: softmax and label smoothing count these
  int64_t padded_vocab = 0;  // rows of the embedding; 0: as many as vocab
  int64_t d_model = 512;
  int64_t d_ff = 2048;
  int64_t num_heads = 8;
  int64_t d_head = 64;
  int64_t encoder_layers = 6;
  int64_t decoder_layers = 6;
  AttentionConfig encoder;  // self-attention of the encoder; cross-attention is always dot product
  AttentionConfig decoder;
  bool relative_bias = true;  // T5's: one table a stack, added to every self-attention of it
  int64_t num_buckets = 32;
  int64_t max_distance = 128;
  bool gated_gelu = false;  // feed-forward of T5 1.1 instead of ReLU
  bool tie_output = true;   // logits = (x / sqrt(d_model))·Eᵀ; false: an output matrix of its own
  PackedPositions packed_positions = PackedPositions::kDocument;
  bool universal = false;   // one layer's weights applied `layers` times, a trained vector added before each
  int64_t num_classes = 0;  // of the classifier
  double norm_eps = 1e-6;
  double dropout = 0;             // rate, everywhere T5 has it; in training only
  bool dropout_broadcast = true;  // one mask for all positions of a row (T5)

  int64_t rows() const { return padded_vocab == 0 ? vocab : padded_vocab; }
};

}  // namespace synthesizer
