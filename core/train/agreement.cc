#include "core/train/agreement.h"

#include <string>

#include "core/base/error.h"

namespace synthesizer {
namespace {

enum class Outcome : int32_t { kDone, kError, kUsageError };

struct Report {
  Outcome outcome = Outcome::kDone;
  std::string message;
};

Report report_of(const std::function<void()>& action) {
  try {
    action();
    return {};
  } catch (const UsageError& error) {
    return {Outcome::kUsageError, error.what()};
  } catch (const std::exception& error) {
    return {Outcome::kError, error.what()};
  }
}

// From rank `root` to all.
void broadcast_report(Communicator& world, Report& report, int root) {
  int64_t head[2] = {static_cast<int64_t>(report.outcome), static_cast<int64_t>(report.message.size())};
  world.broadcast(head, sizeof head, root);
  report.outcome = static_cast<Outcome>(head[0]);
  report.message.resize(static_cast<size_t>(head[1]));
  if (!report.message.empty()) world.broadcast(report.message.data(), head[1], root);
}

[[noreturn]] void throw_report(const Report& report, const Communicator& world, int root) {
  const std::string rank = world.size() > 1 ? fmt::format(" [rank {}/{}]", root, world.size()) : "";
  if (report.outcome == Outcome::kUsageError) fail_usage("{}{}", report.message, rank);
  fail("{}{}", report.message, rank);
}

}  // namespace

void run_together(Communicator& world, const std::function<void()>& action) {
  Report report = report_of(action);
  // The lowest failing rank has the largest number here; 0: none failed.
  int32_t failed = report.outcome == Outcome::kDone ? 0 : world.size() - world.rank();
  world.all_reduce(&failed, 1, DType::kInt32, Reduction::kMax);
  if (failed == 0) return;
  const int root = world.size() - failed;
  broadcast_report(world, report, root);
  throw_report(report, world, root);
}

void run_on_first(Communicator& world, const std::function<void()>& action) {
  Report report;
  if (world.rank() == 0) report = report_of(action);
  broadcast_report(world, report, 0);
  if (report.outcome != Outcome::kDone) throw_report(report, world, 0);
}

}  // namespace synthesizer
