// Learning rates as pure functions of the step. Steps count from 0: the first step of a run is step 0, and a run of
// `decay_steps` steps ends with step decay_steps - 1. The host works the rate out and gives it to the step as an input.
//
// Warm-up is straight: step s < warmup has (s + 1) / warmup of the highest rate, so that no step is lost to a rate of
// 0. RSQRT has none: mesh-tensorflow's learning_rate_schedules.py, which T5 uses, keeps its rate constant instead.
#pragma once

#include <cstdint>

namespace synthesizer {

enum class ScheduleKind {
  kConstant,     // rate
  kLinear,       // from rate at step `warmup` straight to end at step `decay_steps`, then end
  kCosine,       // the same by half a cosine
  kInverseSqrt,  // rate · sqrt(warmup / max(step, warmup)); a warm-up of 0 counts as 1
  kRsqrt,        // rate / sqrt(max(step, warmup, 1)), no warm-up before it
};

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::kRsqrt;
  double rate = 1.0;        // the highest rate; of RSQRT the factor
  int64_t warmup = 10000;   // steps
  double end = 0;           // of LINEAR and COSINE
  int64_t decay_steps = 0;  // the run's steps: of LINEAR, COSINE, and of RSQRT if it has a decay_fraction
  double decay_fraction =
      0;  // of RSQRT: over this last part of decay_steps the rate falls straight to 0; 0: it does not
  bool operator==(const ScheduleConfig&) const = default;
};

// Throws UsageError naming the field that cannot be: negative or not finite, decay_steps not beyond warmup, a fraction
// beyond 1.
void check_schedule(const ScheduleConfig& config);

// The rate of `step` >= 0; `config` is one that check_schedule lets pass.
double learning_rate(const ScheduleConfig& config, int64_t step);

}  // namespace synthesizer
