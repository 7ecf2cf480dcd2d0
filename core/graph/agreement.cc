#include "core/graph/agreement.h"

#include <algorithm>
#include <nlohmann/json.hpp>
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
  world.broadcast(&report.outcome, sizeof report.outcome, root);
  broadcast_text(world, report.message, root);
}

[[noreturn]] void throw_report(const Report& report, const std::string& rank) {
  if (report.outcome == Outcome::kUsageError) fail_usage("{}{}", report.message, rank);
  fail("{}{}", report.message, rank);
}

std::string rank_text(const Communicator& world, int rank) {
  return world.size() > 1 ? fmt::format(" [rank {}/{}]", rank, world.size()) : "";
}

}  // namespace

void broadcast_text(Communicator& world, std::string& text, int root) {
  auto size = static_cast<int64_t>(text.size());
  world.broadcast(&size, sizeof size, root);
  text.resize(static_cast<size_t>(size));
  if (size > 0) world.broadcast(text.data(), size, root);
}

void run_together(Communicator& world, const std::function<void()>& action) {
  Report report = report_of(action);
  const bool done = report.outcome == Outcome::kDone;
  // The lowest failing rank has the largest number here (0: none failed); then whether any rank did not fail.
  int32_t of_any[2] = {done ? 0 : world.size() - world.rank(), done ? 1 : 0};
  world.all_reduce(of_any, 2, DType::kInt32, Reduction::kMax);
  if (of_any[0] == 0) return;
  const int root = world.size() - of_any[0];
  broadcast_report(world, report, root);
  throw_report(report, of_any[1] == 0 ? "" : rank_text(world, root));
}

void run_on_first(Communicator& world, const std::function<void()>& action) {
  Report report;
  if (world.rank() == 0) report = report_of(action);
  broadcast_report(world, report, 0);
  if (report.outcome != Outcome::kDone) throw_report(report, rank_text(world, 0));
}

void require_equal(Communicator& world, const Facts& facts) {
  std::string first = nlohmann::json(facts).dump();
  broadcast_text(world, first, 0);
  const Facts expected = nlohmann::json::parse(first).get<Facts>();
  run_together(world, [&] {
    const auto [own, theirs] = std::mismatch(facts.begin(), facts.end(), expected.begin(), expected.end());
    if (own == facts.end() && theirs == expected.end()) return;
    const auto& [name, value] = own == facts.end() ? *theirs : *own;
    const bool both = own != facts.end() && theirs != expected.end() && own->first == theirs->first;
    fail_usage(
        "{}: got {}, but rank 0 was started with {}: expected the same on all ranks. Start them all with one program "
        "and one command",
        name, own == facts.end() ? "nothing" : value, both || own == facts.end() ? theirs->second : "nothing");
  });
}

}  // namespace synthesizer
