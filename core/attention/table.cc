#include "core/attention/table.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "core/attention/dense.h"
#include "core/attention/dot_product.h"
#include "core/attention/factorized_dense.h"
#include "core/attention/factorized_random.h"
#include "core/attention/fixed_random.h"
#include "core/attention/random.h"
#include "core/base/error.h"
#include "core/base/nearest.h"

namespace synthesizer {
namespace {

using Make = std::unique_ptr<SynthesizingFunction> (*)(const AttentionConfig&, const AttentionSizes&);

template <typename Function>
std::unique_ptr<SynthesizingFunction> make(const AttentionConfig& config, const AttentionSizes& sizes) {
  return std::make_unique<Function>(config, sizes);
}

struct Entry {
  std::string_view name;
  Make make;
};

// A new synthesizing function is its file and one line here.
constexpr Entry kTable[] = {
    {"V", make<DotProduct>},        {"R", make<Random>}, {"Fix", make<FixedRandom>},
    {"FR", make<FactorizedRandom>}, {"D", make<Dense>},  {"FD", make<FactorizedDense>},
};

// The paper's others and its baselines, which this version has not.
constexpr std::array<std::string_view, 7> kAbsent = {"Conv",      "Bottleneck", "ConvBottleneck", "GLU",
                                                     "LightConv", "DynConv",    "Linformer"};

const Entry* find(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kTable), std::end(kTable), [&](const Entry& e) { return e.name == name; });
  return found == std::end(kTable) ? nullptr : found;
}

void check_name(const std::string& part, std::string_view text, std::string_view where) {
  if (part.empty()) fail_usage("{}: got '{}', expected names joined by '+', as in R+V", where, text);
  if (find(part)) return;
  if (std::find(kAbsent.begin(), kAbsent.end(), part) != kAbsent.end())
    fail_usage("{}: got '{}': {} is not in this version, which has {}", where, text, part,
               fmt::join(attention_names(), ", "));
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
  }
  return parts;
}

void check_attention(const AttentionConfig& config, std::string_view where) {
  const std::vector<std::string> parts = attention_parts(config.kind, where);
  const auto has = [&](std::string_view name) { return std::find(parts.begin(), parts.end(), name) != parts.end(); };
  if (config.mixture == Mixture::kSigmoid && parts.size() > 2)
    fail_usage("{}: got '{}' with mixture sigmoid, expected two parts", where, config.kind);
  if (config.max_length < 1) fail_usage("{}: max_length: got {}, expected at least 1", where, config.max_length);
  if (has("FR") && config.factor_rank < 1)
    fail_usage("{}: factor_rank: got {}, expected at least 1", where, config.factor_rank);
  if (has("FD")) dense_factor(config);
}

std::unique_ptr<SynthesizingFunction> synthesizing_function(std::string_view part, const AttentionConfig& config,
                                                            const AttentionSizes& sizes) {
  const Entry* entry = find(part);
  CHECK(entry, "no synthesizing function {}", part);
  return entry->make(config, sizes);
}

}  // namespace synthesizer
