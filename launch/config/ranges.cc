#include "launch/config/ranges.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "launch/config/fields.h"
#include "launch/gpu/gpu.h"

namespace synthesizer {
namespace {

constexpr double kMost = std::numeric_limits<double>::infinity();  // any finite value
constexpr double kManySteps = 1e15;
constexpr double kWide = 1 << 20;

constexpr std::array kRanges = {
    Range{"clip_norm", 0, kMost, false, true},
    Range{"dropout", 0, 1, false, true},
    Range{"z_loss", 0, kMost, false, true},
    Range{"label_smoothing", 0, 1, false, true},
    Range{"steps", 1, kManySteps},
    Range{"seed", 0, 18446744073709551615.0},
    Range{"model.max_length", 1, 1 << 16},
    Range{"model.d_model", 1, kWide},
    Range{"model.d_ff", 1, kWide},
    Range{"model.num_heads", 1, 4096},
    Range{"model.d_head", 0, kWide},
    Range{"model.vocab_size", 0, 1 << 24},
    Range{"model.encoder.layers", 1, 1024},
    Range{"model.encoder.factor_rank", 1, kWide},
    Range{"model.encoder.factor_a", 0, 1 << 16},
    Range{"model.encoder.bottleneck", 1, kWide},
    Range{"model.encoder.filter_width", 1, 1024},
    Range{"model.encoder.conv_heads", 0, kWide},
    Range{"model.decoder.layers", 1, 1024},
    Range{"model.decoder.factor_rank", 1, kWide},
    Range{"model.decoder.factor_a", 0, 1 << 16},
    Range{"model.decoder.bottleneck", 1, kWide},
    Range{"model.decoder.filter_width", 1, 1024},
    Range{"model.decoder.conv_heads", 0, kWide},
    Range{"model.num_buckets", 4, 1 << 16},
    Range{"model.max_distance", 2, kWide},
    Range{"model.num_classes", 0, kWide},
    Range{"model.norm_eps", 0, 1, true, false},
    Range{"data.input_length", 0, 1 << 16},
    Range{"data.target_length", 0, 1 << 16},
    Range{"data.batch", 1, 1 << 24},
    Range{"data.noise_density", 0, 1, true, true},
    Range{"data.mean_span_length", 1, 1 << 16},
    Range{"data.sentinels", 0, 1 << 16},
    Range{"optimizer.beta1", 0, 1, false, true},
    Range{"optimizer.beta2", 0, 1, false, true},
    Range{"optimizer.epsilon", 0, 1, true, false},
    Range{"optimizer.weight_decay", 0, kMost, false, true},
    Range{"optimizer.decay_exponent", 0, 1, true, false},
    Range{"optimizer.epsilon_square", 0, 1, true, false},
    Range{"optimizer.epsilon_scale", 0, 1, true, false},
    Range{"optimizer.clip_threshold", 0, kMost, true, true},
    Range{"optimizer.min_factored_size", 1, kWide},
    Range{"schedule.learning_rate", 0, kMost, true, true},
    Range{"schedule.warmup", 0, kManySteps},
    Range{"schedule.end", 0, kMost, false, true},
    Range{"schedule.decay_steps", 0, kManySteps},
    Range{"schedule.decay_fraction", 0, 1},
    Range{"parallel.mesh.data", 0, 1 << 20},
    Range{"parallel.mesh.tensor", 1, 1 << 20},
    Range{"parallel.zero", 0, 2},
    Range{"parallel.leaves", 1, 1 << 20},
    Range{"parallel.microbatches", 1, 1 << 20},
    Range{"eval.every", 0, kManySteps},
    Range{"eval.batches", 0, kManySteps},
    Range{"checkpoint.every", 0, kManySteps},
    Range{"checkpoint.keep", 1, 1 << 20},
    Range{"checkpoint.milestone", 0, kManySteps},
    Range{"log.every", 1, kManySteps},
};

// What this version has of a field that has more values in the schema.
struct Available {
  std::string_view path;
  std::vector<std::string> values;
};

std::vector<Available> available_values() {
  return {
      {"device", built_with_cuda() ? std::vector<std::string>{"CPU", "CUDA"} : std::vector<std::string>{"CPU"}},
  };
}

std::optional<double> numeric(const Message& message, const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<double>(reflection.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return static_cast<double>(reflection.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection.GetDouble(message, &field);
    default:
      return std::nullopt;
  }
}

std::string range_text(const Range& range) {
  const std::string low = range.low_open ? fmt::format("above {}", range.low) : fmt::format("at least {}", range.low);
  if (range.high == kMost) return low + " and finite";
  return low +
         (range.high_open ? fmt::format(" and below {}", range.high) : fmt::format(" and at most {}", range.high));
}

bool inside(const Range& range, double value) {
  const bool above = range.low_open ? value > range.low : value >= range.low;
  return above && (range.high_open ? value < range.high : value <= range.high);  // false for NaN
}

}  // namespace

std::span<const Range> field_ranges() { return kRanges; }

void check_ranges(const config::Run& run) {
  visit_fields(run, [](const std::string& path, const Message& message, const FieldDescriptor& field) {
    const std::optional<double> value = numeric(message, field);
    if (!value) return;
    const auto range = std::find_if(kRanges.begin(), kRanges.end(), [&](const Range& r) { return r.path == path; });
    CHECK(range != kRanges.end(), "field {} has no range", path);
    if (!inside(*range, *value))
      fail_usage("{}: got {}, expected {}", path, field_text(message, field), range_text(*range));
  });
}

void check_version(const config::Run& run) {
  const std::vector<Available> available = available_values();
  visit_fields(run, [&](const std::string& path, const Message& message, const FieldDescriptor& field) {
    const auto row =
        std::find_if(available.begin(), available.end(), [&](const Available& a) { return a.path == path; });
    if (row == available.end()) return;
    const std::string text = field_text(message, field);
    if (std::find(row->values.begin(), row->values.end(), text) == row->values.end())
      fail_usage("{}: got {}, which is not in this version, expected {}", path, text, fmt::join(row->values, " or "));
  });
}

}  // namespace synthesizer
