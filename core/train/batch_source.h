// Where a trainer's examples come from. The data layer's loader is adapted to it in launch; tests make their own.
#pragma once

#include <cstdint>
#include <span>

namespace synthesizer {

// The number of an example in its epoch.
struct DataPosition {
  int64_t epoch = 0;
  int64_t example = 0;
  bool operator==(const DataPosition&) const = default;
};

// This rank's rows of one global batch, row-major; valid until the next call of the source.
struct Batch {
  std::span<const int32_t> inputs;          // [rows, source length]; empty for a decoder
  std::span<const int32_t> decoder_inputs;  // [rows, target length]
  std::span<const int32_t> targets;         // [rows, target length]
  std::span<const float> weights;           // [rows, target length]: 0 for padding and rows that only fill up
  double denominator = 0;                   // sum of the global batch's weights
  DataPosition next;                        // where a run that has used this batch goes on
  std::span<const int32_t> segments;  // [rows, target length]: the number of each target's document, from 1, 0 for
                                      // padding; empty: a row is one document
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // Null at the end of a pass over validation data; training never ends.
  virtual const Batch* next() = 0;
  virtual void seek(DataPosition position) = 0;
};

}  // namespace synthesizer
