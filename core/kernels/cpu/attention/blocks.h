// How the CPU cuts an attention into blocks that stay in a core's cache: sizes, the products of a block, and which
// blocks are seen at all.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/gemm.h"
#include "core/ops/dot_attention.h"
#include "core/tensor/storage.h"

namespace synthesizer {

// A dimension in equal blocks, the last may be shorter; sizes are whole vectors.
struct Blocks {
  Blocks() = default;
  Blocks(int64_t whole, int64_t most);
  int64_t begin(int64_t i) const { return i * size; }
  int64_t size_of(int64_t i) const { return std::min(size, whole - i * size); }
  // How many different sizes there are, and which of them block i has.
  int64_t shapes() const { return count > 1 && size_of(count - 1) < size ? 2 : 1; }
  int64_t shape(int64_t i) const { return i + 1 == count ? shapes() - 1 : 0; }

  int64_t whole = 0, size = 0, count = 0;
};

// Sizes of queries [batch, length, heads, e], keys and values [batch, memory, heads, e or head]. The pairs are side by
// side in one product: their e's, `inner` together. Some pairs are apart (scores_apart.h).
struct AttentionShape {
  AttentionShape(const KernelCase& c, const DotAttentionOptions& options);

  struct Pair {
    size_t at;             // of the op's pairs
    int64_t width, begin;  // its part of `inner`
    bool shared;           // keys [heads, width, memory]
    PairKind kind;
    int64_t second = 0;         // of two factors, of which `width` is the first
    bool heads_second = false;  // keys [width, heads, memory]
  };

  // Elements before those of example b, row i and head h, of a tensor with `rows` rows of `width`.
  int64_t at(int64_t b, int64_t rows, int64_t i, int64_t h, int64_t width) const {
    return ((b * rows + i) * heads + h) * width;
  }
  bool has_apart() const { return !apart.empty(); }
  // Pieces of work, a head of some examples each, that there are for threads at least, if there are examples: so many
  // examples at a time.
  int64_t examples_at_a_time() const { return std::clamp<int64_t>((kPieces + heads - 1) / heads, 1, batch); }
  // Keys of one pair are read where they lie, as values are; of shared ones or of several pairs they are packed.
  bool packs_keys() const { return pairs.size() != 1 || pairs[0].shared; }
  // Elements from key to key, and from value to value, as products of them all have them.
  int64_t key_stride() const { return packs_keys() ? inner : heads * inner; }
  int64_t value_stride() const { return heads * head; }
  int64_t weight_stride() const { return keys.size * size_of(compute_type(dtype)) / size_of(dtype); }
  // Of the addend's row, and how many there are a head: `length`, or one for all queries.
  int64_t addend_row(int64_t h, int64_t i) const { return (h * addend_rows + (addend_rows == 1 ? 0 : i)) * memory; }

  static constexpr int64_t kPieces = 16;

  DType dtype;
  int64_t batch, heads, length, memory, head, inner = 0, addend_rows = 0;
  std::vector<Pair> pairs, apart;
  Blocks queries, keys;
};

// Where a query meets what the examples share: row `row`, of which key j has element j - shift. Without positions that
// is row i as it is.
struct Place {
  int64_t row = 0, shift = 0;
};
class Places {
 public:
  Places(const AttentionShape& s, const int32_t* positions) : memory_(s.memory), length_(s.length), at_(positions) {}
  bool given() const { return at_ != nullptr; }
  // A query that is in no document's place meets nothing: its shift is beyond all keys.
  Place of(int64_t b, int64_t i) const {
    if (at_ == nullptr) return {i, 0};
    const int64_t row = at_[b * length_ + i];
    return 0 <= row && row <= i ? Place{row, i - row} : Place{0, memory_};
  }
  // Calls visit(first key, their number, their first place) for the keys of an example that follow one another.
  template <typename Visit>
  void each_run(int64_t b, Visit visit) const {
    for (int64_t j = 0, end; j < length_; j = end) {
      const int64_t place = at_[b * length_ + j];
      for (end = j + 1; end < length_ && at_[b * length_ + end] == place + end - j;) ++end;
      if (place >= 0 && place < memory_) visit(j, std::min(end - j, memory_ - place), place);
    }
  }

 private:
  int64_t memory_, length_;
  const int32_t* at_;
};

// A product of one block, as a function of its rows (queries) and columns (keys). Operands lie packed, queries [rows,
// inner] and gradients [rows, head], but for keys [columns, inner] and values [columns, head], which are key_stride()
// and value_stride() apart; scores lie keys.size apart, weights and gradients that are made where they are
// weight_stride().
using BlockProduct = Product (*)(const AttentionShape& s, int64_t rows, int64_t columns);
Product scores_product(const AttentionShape& s, int64_t rows, int64_t columns);            // S = Q·Kᵀ
Product mix_product(const AttentionShape& s, int64_t rows, int64_t columns);               // Y += P·V
Product weights_gradient_product(const AttentionShape& s, int64_t rows, int64_t columns);  // dP = dY·Vᵀ
Product values_gradient_product(const AttentionShape& s, int64_t rows, int64_t columns);   // dV += Pᵀ·dY
Product keys_gradient_product(const AttentionShape& s, int64_t rows, int64_t columns);     // dK += dSᵀ·Q
Product queries_gradient_product(const AttentionShape& s, int64_t rows, int64_t columns);  // dQ += dS·K

// One of these for every shape of block. A prepared product holds what it is run on, so each thread has its own.
class BlockGemm {
 public:
  BlockGemm(const AttentionShape& s, BlockProduct product, const CpuContext& context);
  // Bytes that one thread's products need.
  static int64_t workspace(const AttentionShape& s, std::initializer_list<BlockProduct> products);
  // Of query block i and key block j.
  const Gemm& at(int thread, int64_t i, int64_t j) const;

  // Products of one key block with every query block: its keys or values are prepared once.
  static int64_t prepared_bytes(const AttentionShape& s, BlockProduct product);  // of all key blocks
  // `rows`: of all keys, `stride` elements apart. Of no pair there is nothing to prepare or to run.
  template <typename E>
  void prepare(int thread, const E* rows, int64_t stride, std::byte* memory, const void** blocks) const {
    if (gemms_.empty()) return;
    for (int64_t j = 0; j < keys_.count; ++j)
      blocks[j] = at(thread, 0, j).prepare(rows + keys_.begin(j) * stride, memory + j * block_bytes_);
  }

 private:
  Blocks queries_, keys_;
  int64_t block_bytes_;
  std::vector<std::unique_ptr<Gemm>> gemms_;  // by thread, shape of rows, shape of columns
};

// Hands out a piece of workspace; without memory it only counts.
class Carver {
 public:
  explicit Carver(std::byte* memory) : memory_(memory) {}
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

// Which keys a query may see; of one thread.
class VisibleKeys {
 public:
  // `buffer`: an element a key, used where there are segments. The masks may be null.
  VisibleKeys(const AttentionShape& s, bool causal, const int32_t* key_mask, const int32_t* segments, int32_t* buffer)
      : s_(s), causal_(causal), key_mask_(key_mask), segments_(segments), buffer_(buffer) {}

  // Goes to a block of keys, beside the same queries.
  void go_to(int64_t key_block);
  // Goes to a block of queries and keys; false: none of its queries sees any of its keys. (With segments it may be true
  // all the same.)
  bool enter(int64_t b, int64_t query_block, int64_t key_block);
  // In this block: how many of its first keys the block's row may see, and their mask, or null.
  int64_t seen(int64_t row) const;
  const int32_t* mask(int64_t row);
  // Whether query i of example b may see any key.
  bool any(int64_t b, int64_t i) const;

 private:
  const AttentionShape& s_;
  bool causal_;
  const int32_t *key_mask_, *segments_;
  int32_t* buffer_;
  int64_t b_ = 0, query_ = 0, key_ = 0, columns_ = 0;  // of the block
  int64_t buffered_ = -1;                              // the example that the buffer is of
  int32_t segment_ = 0;                                // and the segment
};

}  // namespace synthesizer
