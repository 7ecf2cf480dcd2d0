#include "core/kernels/cuda/attention/dot_sizes.h"

#include <algorithm>

namespace synthesizer::cuda {

DotSizes::DotSizes(const KernelCase& c, const DotAttentionOptions& options)
    : options(options), dtype(c.inputs[0].dtype) {
  const std::vector<Dim>& values = c.in(options.values()).dims();
  batch = values[0].size;
  memory = values[1].size;
  heads = values[2].size;
  head = values[3].size;
  length = c.in(0).dims()[1].size;
  CHECK(options.pairs() <= kMostPairs, "[{}] {} pairs of queries and keys: the kernel takes {}", c.op.name(),
        options.pairs(), kMostPairs);
  for (size_t p = 0; p < options.pairs(); ++p) {
    widths.push_back(c.in(2 * p).dims()[3].size);
    inner += widths.back();
  }
  if (options.addend) addend_by_key = c.in(options.values() + 1).rank() == 2;
}

int64_t DotSizes::multiplied_scores() const {
  if (!options.causal) return scores();
  int64_t seen = 0;
  for (int64_t i = 0; i < length; i += kTile)
    seen += std::min<int64_t>(kTile, length - i) * std::min(i + kTile, memory);
  return batch * heads * seen;
}

bool DotSizes::tensor_cores() const {
  constexpr int64_t kMost = 128, kStep = 16;
  const auto fits = [](int64_t width) { return width % kStep == 0; };
  return dtype == DType::kBFloat16 && fits(head) && std::all_of(widths.begin(), widths.end(), fits) && head <= kMost &&
         inner <= kMost;
}

int64_t DotSizes::rounded_keys_bytes() const {
  int64_t bytes = 0;
  for (size_t p = 0; p < widths.size(); ++p)
    if (options.shares_keys(p)) bytes += align_up(heads * widths[p] * memory * size_of(DType::kBFloat16));
  return bytes;
}

}  // namespace synthesizer::cuda
