// The sizes of an attention, and how its workspace is cut up: the host's side.
#pragma once

#include <vector>

#include "core/kernels/cuda/kernel_case.h"
#include "core/ops/dot_attention.h"
#include "core/tensor/storage.h"

namespace synthesizer::cuda {

inline constexpr int kTile = 64;       // queries or keys of a tile of scores
inline constexpr int kMostPairs = 16;  // arguments of kernels have a fixed size

inline int64_t tiles_of(int64_t rows) { return (rows + kTile - 1) / kTile; }

struct DotSizes {
  DotSizes(const KernelCase& c, const DotAttentionOptions& options);
  int64_t scores() const { return batch * heads * length * memory; }
  // Scores of those tiles that are not left out for causality alone, which is known before the kernels run.
  int64_t multiplied_scores() const;
  // Whether tensor cores do it, forward and backward both: what a query that sees one key has for a score must be the
  // same in both.
  bool tensor_cores() const;
  // Bytes of the copies of shared keys that are made: with positions (with_placed_keys()), else for tensor cores
  // (with_rounded_keys()).
  int64_t copied_keys_bytes() const;
  // Whether a pair's keys are brought to each token's place, and are own keys from then on.
  bool by_places(size_t pair) const { return options.positions && options.kinds[pair] == PairKind::kShared; }
  int64_t chunks() const { return (batch + chunk - 1) / chunk; }

  const DotAttentionOptions& options;
  DType dtype;
  int64_t batch, heads, length, memory, head;
  int64_t inner = 0;  // of the tiles' pairs together
  int64_t chunk;      // examples that scores apart are made of at a time, in both directions: all without these
  bool addend_by_key = false;
  std::vector<int64_t> widths;       // of all pairs, of two factors the first's
  std::vector<int64_t> second;       // of kOuter pairs, the second's
  std::vector<char> heads_second;    // of kCommon pairs: keys [width, heads, memory]
  std::vector<size_t> tiled, apart;  // which pairs tiles of scores are made of, and which have theirs made before them
};

// Hands out a piece of workspace; without memory it only counts.
class Carver {
 public:
  explicit Carver(void* memory) : memory_(static_cast<std::byte*>(memory)) {}
  template <typename T>
  T* take(int64_t count) {
    std::byte* at = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += align_up(count * static_cast<int64_t>(sizeof(T)));
    return reinterpret_cast<T*>(at);
  }
  int64_t used() const { return used_; }

 private:
  std::byte* memory_;
  int64_t used_ = 0;
};

}  // namespace synthesizer::cuda
