// `train --profile N`: N steps of a run with the times of everything their programs do, written to RUN/profile as
// trace.json (all ranks in one, each with a compute and a communication lane) and by_op.csv.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/graph/communicator.h"
#include "core/graph/program.h"
#include "core/train/profile_report.h"

namespace synthesizer {

// Steps before the first that is profiled: the first ones of a process meet cold memory.
inline constexpr int64_t kProfileWarmUp = 2;
// Most steps of a profile: a trace has an event for each node of each step.
inline constexpr int64_t kMostProfiledSteps = 100;

struct ProfileOptions {
  int64_t steps = 1;
  std::string title;      // of this rank: "rank 3 (data 1, tensor 1)"
  double peak_flops = 0;  // of this rank, a second: measured
  double peak_bytes = 0;  // to and from memory
  TrafficOf traffic;      // of a collective node
};

// UsageError "--profile: …" unless so many steps can be profiled in a run that has `left` to do.
void require_profiled_steps(int64_t steps, int64_t left);

// The steps are those of the run itself: it ends with the same bits as without a profile.
class Profile {
 public:
  // `programs` make up a step and outlive the profile; `done` steps are done.
  Profile(ProfileOptions options, std::vector<Program*> programs, Communicator& world, int64_t done);
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  // Around everything that belongs to a step, on all ranks. The clocks are compared (clock.h) before the first profiled
  // step. end_step() is true after the last one.
  void begin_step(int64_t done);
  bool end_step();

  // Collective, once end_step() was true. Writes trace.json and by_op.csv, on rank 0, and gives the table by op of
  // rank 0. Throws Error, on all ranks, if the folder cannot be written.
  std::string write(const std::filesystem::path& folder);

 private:
  void start();
  int64_t zero_time() const;

  ProfileOptions options_;
  std::vector<Program*> programs_;
  Communicator& world_;
  int64_t first_;  // steps done before the first profiled one
  bool recording_ = false;
  int64_t clock_ahead_ = 0;  // of rank 0's, ns
  RankProfile profile_;
};

}  // namespace synthesizer
