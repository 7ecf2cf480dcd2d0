#include "core/kernels/cpu/attention/blocks.h"

namespace synthesizer {
namespace {

// A block of scores, of which backward has two, and the keys and values beside it fit a core's second-level cache.
// Backward keeps those of all keys of a query block: fewer queries where there are many keys.
constexpr int64_t kQueries = 128, kLeastQueries = 16, kKeys = 512, kCausalKeys = 128, kScores = 64 * 1024;

Product product(DType dtype, int64_t m, int64_t n, int64_t k, MatrixStrides a, MatrixStrides b, int64_t c_row) {
  Product p;
  p.dtype = dtype;
  p.wide = true;  // scores and sums
  p.m = m;
  p.n = n;
  p.k = k;
  p.a = a;
  p.b = b;
  p.c = {{0, 0}, c_row, 1};
  return p;
}

MatrixStrides by_rows(int64_t stride) { return {{0, 0}, stride, 1}; }
MatrixStrides transposed(int64_t stride) { return {{0, 0}, 1, stride}; }

// Of no pair.
bool is_empty(const Product& p) { return p.n == 0 || p.k == 0; }

Product adding(Product p) {
  p.accumulate = true;
  return p;
}

}  // namespace

Blocks::Blocks(int64_t whole, int64_t most) : whole(whole) {
  const int64_t blocks = (whole + most - 1) / most;
  size = std::min(((whole + blocks - 1) / blocks + 15) / 16 * 16, most);
  count = (whole + size - 1) / size;
}

AttentionShape::AttentionShape(const KernelCase& c, const DotAttentionOptions& options)
    : dtype(c.inputs[options.values()].dtype) {
  const Shape& values = c.in(options.values());
  batch = values.dims()[0].size;
  memory = values.dims()[1].size;
  heads = values.dims()[2].size;
  head = values.dims()[3].size;
  length = c.in(options.pairs() == 0 ? options.mask() + 1 : 0).dims()[1].size;
  for (size_t p = 0; p < options.pairs(); ++p) {
    Pair pair{p, c.in(2 * p).dims().back().size, inner, options.shares_keys(p), options.kinds[p]};
    if (pair.kind == PairKind::kOuter) pair.second = c.in(2 * p + 1).dims().back().size;
    pair.heads_second = options.heads_second(c.inputs, p);
    (options.is_apart(p) ? apart : pairs).push_back(pair);
    if (!options.is_apart(p)) inner += pair.width;
  }
  if (options.addend) addend_rows = c.in(options.values() + 1).rank() == 2 ? 1 : length;
  queries = Blocks(length, std::clamp(kScores / memory / 16 * 16, kLeastQueries, kQueries));
  // Where a query sees no keys after its own, small blocks leave more of them out.
  keys = Blocks(memory, options.causal ? kCausalKeys : kKeys);
}

Product scores_product(const AttentionShape& s, int64_t rows, int64_t columns) {
  return product(s.dtype, rows, columns, s.inner, by_rows(s.inner), transposed(s.key_stride()), s.keys.size);
}
Product mix_product(const AttentionShape& s, int64_t rows, int64_t columns) {
  return adding(product(s.dtype, rows, s.head, columns, by_rows(s.weight_stride()), by_rows(s.value_stride()), s.head));
}
Product weights_gradient_product(const AttentionShape& s, int64_t rows, int64_t columns) {
  return product(s.dtype, rows, columns, s.head, by_rows(s.head), transposed(s.value_stride()), s.keys.size);
}
Product values_gradient_product(const AttentionShape& s, int64_t rows, int64_t columns) {
  return adding(product(s.dtype, columns, s.head, rows, transposed(s.weight_stride()), by_rows(s.head), s.head));
}
Product keys_gradient_product(const AttentionShape& s, int64_t rows, int64_t columns) {
  return adding(product(s.dtype, columns, s.inner, rows, transposed(s.weight_stride()), by_rows(s.inner), s.inner));
}
Product queries_gradient_product(const AttentionShape& s, int64_t rows, int64_t columns) {
  return adding(product(s.dtype, rows, s.inner, columns, by_rows(s.weight_stride()), by_rows(s.key_stride()), s.inner));
}

BlockGemm::BlockGemm(const AttentionShape& s, BlockProduct product, const CpuContext& context)
    : queries_(s.queries), keys_(s.keys), block_bytes_(prepared_bytes(s, product) / s.keys.count) {
  if (is_empty(product(s, 1, 1))) return;
  const int64_t rows = queries_.shapes(), columns = keys_.shapes();
  for (int thread = 0; thread < context.threads; ++thread)
    for (int64_t i = queries_.count - rows; i < queries_.count; ++i)
      for (int64_t j = keys_.count - columns; j < keys_.count; ++j) {
        Product p = product(s, queries_.size_of(i), keys_.size_of(j));
        p.most_m = std::max(p.m, product(s, queries_.size, keys_.size_of(j)).m);
        gemms_.push_back(make_gemm(p, {1, false}, context.counters));
      }
}

int64_t BlockGemm::workspace(const AttentionShape& s, std::initializer_list<BlockProduct> products) {
  int64_t bytes = 0;
  for (const BlockProduct product : products)
    if (!is_empty(product(s, 1, 1)))
      bytes = std::max(bytes, gemm_workspace_up_to(product(s, s.queries.size, s.keys.size), {1, false}));
  return bytes;
}

int64_t BlockGemm::prepared_bytes(const AttentionShape& s, BlockProduct product) {
  const Product p = product(s, s.queries.size, s.keys.size);
  return is_empty(p) ? 0 : s.keys.count * align_up(gemm_prepared_bytes(p));
}

const Gemm& BlockGemm::at(int thread, int64_t i, int64_t j) const {
  const int64_t rows = queries_.shapes(), columns = keys_.shapes();
  return *gemms_[static_cast<size_t>((thread * rows + queries_.shape(i)) * columns + keys_.shape(j))];
}

void VisibleKeys::go_to(int64_t key_block) {
  key_ = s_.keys.begin(key_block);
  columns_ = s_.keys.size_of(key_block);
}

bool VisibleKeys::enter(int64_t b, int64_t query_block, int64_t key_block) {
  b_ = b;
  query_ = s_.queries.begin(query_block);
  go_to(key_block);
  const int64_t rows = s_.queries.size_of(query_block);
  if (causal_ && key_ >= query_ + rows) return false;
  if (key_mask_ == nullptr) return true;
  const int32_t* keys = key_mask_ + b * s_.memory + key_;
  if (segments_ == nullptr) return std::any_of(keys, keys + columns_, [](int32_t key) { return key != 0; });
  const int32_t* segments = segments_ + b * s_.length + query_;
  const auto ends = std::minmax_element(segments, segments + rows);
  const int32_t least = *ends.first, most = *ends.second;
  return std::any_of(keys, keys + columns_, [&](int32_t key) { return key != 0 && least <= key && key <= most; });
}

int64_t VisibleKeys::seen(int64_t row) const {
  return causal_ ? std::clamp<int64_t>(query_ + row + 1 - key_, 0, columns_) : columns_;
}

const int32_t* VisibleKeys::mask(int64_t row) {
  if (key_mask_ == nullptr) return nullptr;
  const int32_t* all = key_mask_ + b_ * s_.memory;
  if (segments_ == nullptr) return all + key_;
  const int32_t segment = segments_[b_ * s_.length + query_ + row];
  if (buffered_ != b_ || segment != segment_)
    for (int64_t j = 0; j < s_.memory; ++j) buffer_[j] = all[j] != 0 && all[j] == segment ? 1 : 0;
  buffered_ = b_;
  segment_ = segment;
  return buffer_ + key_;
}

bool VisibleKeys::any(int64_t b, int64_t i) const {
  if (key_mask_ == nullptr) return true;
  const int32_t* keys = key_mask_ + b * s_.memory;
  const int32_t segment = segments_ == nullptr ? 0 : segments_[b * s_.length + i];
  return std::any_of(keys, keys + (causal_ ? std::min(s_.memory, i + 1) : s_.memory),
                     [&](int32_t key) { return key != 0 && (segments_ == nullptr || key == segment); });
}

}  // namespace synthesizer
