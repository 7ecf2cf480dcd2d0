#include "core/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/error.h"

namespace synthesizer {
namespace {

bool is_decaying(ScheduleKind kind) { return kind == ScheduleKind::kLinear || kind == ScheduleKind::kCosine; }

// 0 at the end of warm-up, 1 at decay_steps and after.
double progress(const ScheduleConfig& config, int64_t step) {
  const auto done = static_cast<double>(step - config.warmup);
  return std::clamp(done / static_cast<double>(config.decay_steps - config.warmup), 0.0, 1.0);
}

double rsqrt_rate(const ScheduleConfig& config, int64_t step) {
  const double rate = config.rate / std::sqrt(static_cast<double>(std::max({step, config.warmup, int64_t{1}})));
  if (config.decay_fraction == 0) return rate;
  const auto total = static_cast<double>(config.decay_steps);
  const double left = (total - static_cast<double>(step)) / (total * config.decay_fraction);
  return rate * std::clamp(left, 0.0, 1.0);
}

}  // namespace

void check_schedule(const ScheduleConfig& config) {
  const auto not_negative = [](const char* field, double value) {
    if (!(value >= 0) || !std::isfinite(value)) fail_usage("schedule.{}: got {}, expected 0 or more", field, value);
  };
  not_negative("learning_rate", config.rate);
  not_negative("warmup", static_cast<double>(config.warmup));
  not_negative("end", config.end);
  not_negative("decay_fraction", config.decay_fraction);
  if (config.decay_fraction > 1)
    fail_usage("schedule.decay_fraction: got {}, expected at most 1", config.decay_fraction);
  if (is_decaying(config.kind) && config.decay_steps <= config.warmup)
    fail_usage("schedule.decay_steps: got {}, expected more than the warmup of {}", config.decay_steps, config.warmup);
  if (config.kind == ScheduleKind::kRsqrt && config.decay_fraction > 0 && config.decay_steps <= 0)
    fail_usage("schedule.decay_steps: got {}, expected the steps that decay_fraction is a part of", config.decay_steps);
}

double learning_rate(const ScheduleConfig& config, int64_t step) {
  CHECK(step >= 0, "step {}", step);
  if (config.kind == ScheduleKind::kRsqrt) return rsqrt_rate(config, step);
  if (step < config.warmup) return config.rate * static_cast<double>(step + 1) / static_cast<double>(config.warmup);
  switch (config.kind) {
    case ScheduleKind::kConstant:
      return config.rate;
    case ScheduleKind::kLinear:
      return config.rate + (config.end - config.rate) * progress(config, step);
    case ScheduleKind::kCosine:
      return config.end + (config.rate - config.end) * (1 + std::cos(std::numbers::pi * progress(config, step))) / 2;
    case ScheduleKind::kInverseSqrt: {
      const auto warmup = static_cast<double>(std::max(config.warmup, int64_t{1}));
      return config.rate * std::sqrt(warmup / std::max(static_cast<double>(step), warmup));
    }
    case ScheduleKind::kRsqrt:
      break;
  }
  fail("unknown schedule {}", static_cast<int>(config.kind));
}

}  // namespace synthesizer
