#include "core/attention/table.h"

#include <algorithm>
#include <cctype>

#include "core/attention/bottleneck.h"
#include "core/attention/convolution.h"
#include "core/attention/dense.h"
#include "core/attention/dot_product.h"
#include "core/attention/dynamic_convolution.h"
#include "core/attention/factorized_dense.h"
#include "core/attention/factorized_random.h"
#include "core/attention/fixed_random.h"
#include "core/attention/gated_linear.h"
#include "core/attention/light_convolution.h"
#include "core/attention/linformer.h"
#include "core/attention/random.h"
#include "core/base/error.h"
#include "core/base/nearest.h"

namespace synthesizer {
namespace {

using MakePart = std::unique_ptr<SynthesizingFunction> (*)(const AttentionConfig&, const AttentionSizes&);
using MakeAlone = std::unique_ptr<StandaloneAttention> (*)(const AttentionConfig&, const AttentionSizes&);

template <typename Function>
std::unique_ptr<SynthesizingFunction> part(const AttentionConfig& config, const AttentionSizes& sizes) {
  return std::make_unique<Function>(config, sizes);
}

template <typename Attention>
std::unique_ptr<StandaloneAttention> alone(const AttentionConfig& config, const AttentionSizes& sizes) {
  return std::make_unique<Attention>(config, sizes);
}

struct Entry {
  std::string_view name;
  MakePart make_part = nullptr;
  MakeAlone make_alone = nullptr;  // one of the two
  bool encoder_only = false;
};

// A new synthesizing function is its file and one line here.
constexpr Entry kTable[] = {
    {"V", part<DotProduct>},
    {"R", part<Random>},
    {"Fix", part<FixedRandom>},
    {"FR", part<FactorizedRandom>},
    {"D", part<Dense>},
    {"FD", part<FactorizedDense>},
    {"Conv", part<Convolution>},
    {"Bottleneck", part<Bottleneck>},
    {"ConvBottleneck", part<ConvBottleneck>},
    {"GLU", part<GatedLinear>},
    {"LightConv", nullptr, alone<LightConvolution>},
    {"DynConv", nullptr, alone<DynamicConvolution>},
    {"Linformer", nullptr, alone<Linformer>, true},
};

const Entry* find(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kTable), std::end(kTable), [&](const Entry& e) { return e.name == name; });
  return found == std::end(kTable) ? nullptr : found;
}

void check_name(const std::string& part, std::string_view text, std::string_view where) {
  if (part.empty()) fail_usage("{}: got '{}', expected names joined by '+', as in R+V", where, text);
  if (find(part)) return;
  fail_usage("{}: unknown attention function '{}' in '{}'{}", where, part, text, nearest_hint(part, attention_names()));
}

}  // namespace

std::vector<std::string> attention_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kTable) names.emplace_back(entry.name);
  return names;
}

std::vector<std::string> attention_parts(std::string_view text, std::string_view where) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == '+')
      parts.emplace_back();
    else if (!std::isspace(static_cast<unsigned char>(c)))
      parts.back().push_back(c);
  }
  for (auto part = parts.begin(); part != parts.end(); ++part) {
    check_name(*part, text, where);
    if (std::find(parts.begin(), part, *part) != part)
      fail_usage("{}: got '{}': {} appears twice, expected each part once", where, text, *part);
    if (parts.size() > 1 && find(*part)->make_alone != nullptr)
      fail_usage("{}: got '{}': {} stands alone, expected no other part", where, text, *part);
  }
  return parts;
}

void check_attention(const AttentionConfig& config, std::string_view where) {
  const std::vector<std::string> parts = attention_parts(config.kind, where);
  const auto has = [&](std::string_view name) { return std::find(parts.begin(), parts.end(), name) != parts.end(); };
  if (config.mixture == Mixture::kSigmoid && parts.size() > 2)
    fail_usage("{}: got '{}' with mixture sigmoid, expected two parts", where, config.kind);
  if (config.max_length < 1) fail_usage("{}: max_length: got {}, expected at least 1", where, config.max_length);
  const auto check_least = [&](std::string_view field, int64_t value, int64_t least) {
    if (value < least) fail_usage("{}: {}: got {}, expected at least {}", where, field, value, least);
  };
  if (has("FR") || has("Linformer")) check_least("factor_rank", config.factor_rank, 1);
  if (has("Bottleneck") || has("ConvBottleneck")) check_least("bottleneck", config.bottleneck, 1);
  if (has("Conv") || has("ConvBottleneck") || has("LightConv") || has("DynConv"))
    check_least("filter_width", config.filter_width, 1);
  if (has("LightConv") || has("DynConv")) check_least("conv_heads", config.conv_heads, 0);
  if (has("FD")) FactorizedDense::first_factor(config);
  const bool dense = has("D") || has("FD");
  if (config.share_query && !(dense && has("V")))
    fail_usage("{}: share_query: got true with '{}', expected D or FD in a mixture with V", where, config.kind);
  if (config.share_query && config.dense_width == DenseWidth::kModel)
    fail_usage("{}: share_query: got true with a dense_width of d_model, expected the width of a head, the query's",
               where);
  if (dense && config.share_across_heads && config.dense_width == DenseWidth::kModel)
    fail_usage(
        "{}: share_across_heads with a dense_width of d_model gives all heads one alignment: got both, expected one of "
        "them",
        where);
}

void check_self_attention(const AttentionConfig& config, const AttentionSizes& sizes, bool causal,
                          std::string_view where) {
  check_attention(config, where);
  const std::vector<std::string> parts = attention_parts(config.kind, where);
  if (causal && find(parts[0])->encoder_only)
    fail_usage("{}: got '{}': it mixes positions, so that it can only be in an encoder", where, parts[0]);
  if (parts[0] != "LightConv" && parts[0] != "DynConv") return;
  const int64_t heads = config.conv_heads == 0 ? sizes.num_heads : config.conv_heads;
  if (sizes.d_model % heads != 0)
    fail_usage("{}: conv_heads: got {}, expected a divisor of d_model {}{}", where, heads, sizes.d_model,
               config.conv_heads == 0 ? ", where 0 stands for num_heads" : "");
}

std::unique_ptr<SynthesizingFunction> synthesizing_function(std::string_view part, const AttentionConfig& config,
                                                            const AttentionSizes& sizes) {
  const Entry* entry = find(part);
  CHECK(entry != nullptr && entry->make_part != nullptr, "no synthesizing function {}", part);
  return entry->make_part(config, sizes);
}

std::unique_ptr<StandaloneAttention> standalone_attention(std::string_view text, const AttentionConfig& config,
                                                          const AttentionSizes& sizes) {
  const Entry* entry = find(attention_parts(text)[0]);
  return entry->make_alone == nullptr ? nullptr : entry->make_alone(config, sizes);
}

}  // namespace synthesizer
