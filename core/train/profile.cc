#include "core/train/profile.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/graph/agreement.h"
#include "core/train/clock.h"

namespace synthesizer {
namespace {

// Rank 0 takes each rank's text in turn, one in memory at a time. Collective.
template <typename Take>
void take_from_each(Communicator& world, const std::string& mine, const Take& take) {
  for (int rank = 0; rank < world.size(); ++rank) {
    std::string text = rank == world.rank() ? mine : "";
    broadcast_text(world, text, rank);
    run_on_first(world, [&] { take(text); });
  }
}

}  // namespace

void require_profiled_steps(int64_t steps, int64_t left) {
  if (steps < 1 || steps > kMostProfiledSteps)
    fail_usage("--profile: got {}, expected 1 to {} steps", steps, kMostProfiledSteps);
  if (steps > left - kProfileWarmUp)
    fail_usage("--profile: got {}, expected at most {}: {} step(s) are left, of which {} warm up. Give more by --steps",
               steps, std::max<int64_t>(left - kProfileWarmUp, 0), std::max<int64_t>(left, 0), kProfileWarmUp);
}

Profile::Profile(ProfileOptions options, std::vector<Program*> programs, Communicator& world, int64_t done)
    : options_(std::move(options)), programs_(std::move(programs)), world_(world), first_(done + kProfileWarmUp) {
  profile_.rank = world.rank();
  profile_.title = options_.title;
  profile_.first_step = first_ + 1;
  profile_.peak_flops = options_.peak_flops;
  profile_.peak_bytes = options_.peak_bytes;
  profile_.steps.reserve(static_cast<size_t>(options_.steps));
  for (const Program* program : programs_)
    profile_.programs.push_back({slot_figures(program->graph(), program->slots(), options_.traffic),
                                 Timeline(program->slots(), static_cast<size_t>(options_.steps))});
}

Profile::~Profile() {
  for (Program* program : programs_) program->record(nullptr);
}

void Profile::start() {
  clock_ahead_ = clock_ahead(world_, steady_clock_name(), steady_nanoseconds);
  for (size_t i = 0; i < programs_.size(); ++i) programs_[i]->record(&profile_.programs[i].timeline);
  recording_ = true;
}

void Profile::begin_step(int64_t done) {
  if (done == first_) start();
  if (recording_) profile_.steps.push_back({steady_nanoseconds(), 0});
}

bool Profile::end_step() {
  if (!recording_) return false;
  profile_.steps.back().end = steady_nanoseconds();
  if (static_cast<int64_t>(profile_.steps.size()) < options_.steps) return false;
  for (Program* program : programs_) program->record(nullptr);
  recording_ = false;
  return true;
}

// The first moment of the profile on any rank, on this rank's clock.
int64_t Profile::zero_time() const {
  int64_t before = -(profile_.steps.front().begin - clock_ahead_);
  world_.all_reduce(&before, 1, DType::kInt64, Reduction::kMax);
  return clock_ahead_ - before;
}

std::string Profile::write(const std::filesystem::path& folder) {
  const std::filesystem::path trace = folder / "trace.json";
  const std::vector<OpRow> rows = rows_by_op(profile_);
  File file;
  run_on_first(world_, [&] {
    std::filesystem::create_directories(folder);
    file = File(partial_name(trace), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
    file.append("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
  });
  bool first = true;
  take_from_each(world_, trace_events(profile_, zero_time()), [&](const std::string& events) {
    if (!first) file.append(",\n");
    first = false;
    file.append(events);
  });
  std::string csv = kOpCsvHeader;
  take_from_each(world_, op_csv(profile_, rows), [&](const std::string& lines) { csv += lines; });
  run_on_first(world_, [&] {
    file.append("\n]}\n");
    file = {};
    commit_partial(trace);
    replace_text_file(folder / "by_op.csv", csv);
  });
  return fmt::format("{}\nevery rank: {}, {} (open in ui.perfetto.dev)", op_table(profile_, rows),
                     (folder / "by_op.csv").string(), trace.string());
}

}  // namespace synthesizer
