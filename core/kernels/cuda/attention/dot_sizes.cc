#include "core/kernels/cuda/attention/dot_sizes.h"

#include <algorithm>

namespace synthesizer::cuda {
namespace {

// Of scores that are made apart: of two examples or more; about as much as a device's second-level cache.
constexpr int64_t kMostScoresBytes = int64_t{64} << 20;

}  // namespace

DotSizes::DotSizes(const KernelCase& c, const DotAttentionOptions& options)
    : options(options), dtype(c.inputs[0].dtype) {
  const std::vector<Dim>& values = c.in(options.values()).dims();
  batch = values[0].size;
  memory = values[1].size;
  heads = values[2].size;
  head = values[3].size;
  length = c.in(options.pairs() == 0 ? options.mask() + 1 : 0).dims()[1].size;
  CHECK(options.pairs() <= kMostPairs, "[{}] {} pairs of queries and keys: the kernel takes {}", c.op.name(),
        options.pairs(), kMostPairs);
  for (size_t p = 0; p < options.pairs(); ++p) {
    widths.push_back(c.in(2 * p).dims().back().size);
    second.push_back(c.in(2 * p + 1).dims().back().size);
    heads_second.push_back(options.heads_second(c.inputs, p));
    (options.is_apart(p) ? apart : tiled).push_back(p);
    if (!options.is_apart(p)) inner += widths.back();
  }
  // As even as can be.
  const int64_t bytes = heads * length * memory * size_of(compute_type(dtype));
  const int64_t most = apart.empty() ? batch : std::clamp<int64_t>(kMostScoresBytes / bytes, 1, batch);
  const int64_t parts = (batch + most - 1) / most;
  chunk = (batch + parts - 1) / parts;
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
  return dtype == DType::kBFloat16 && fits(head) && head <= kMost && inner <= kMost &&
         std::all_of(tiled.begin(), tiled.end(), [&](size_t p) { return fits(widths[p]); });
}

int64_t DotSizes::copied_keys_bytes() const {
  if (!options.positions && !tensor_cores()) return 0;
  int64_t bytes = 0;
  for (const size_t p : tiled)
    if (options.shares_keys(p))
      bytes += align_up((options.positions ? batch : 1) * memory * heads * widths[p] * size_of(dtype));
  return bytes;
}

}  // namespace synthesizer::cuda
