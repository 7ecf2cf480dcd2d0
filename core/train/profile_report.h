// What is made of the times of a rank's profiled steps: rows by op with their share of the machine's limits (a
// roofline), and the events of a trace in Chrome's format, which Perfetto and chrome://tracing open.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/graph/timeline.h"

namespace synthesizer {

// What a rank sends by one run of a collective node.
struct NodeTraffic {
  std::string axis;
  int64_t bytes = 0;
};
using TrafficOf = std::function<NodeTraffic(const Graph& graph, const Node& node)>;

// What a slot of a program's timeline stands for, in words and figures.
struct SlotFigures {
  TimelineSlot::Kind kind = TimelineSlot::Kind::kCompute;
  std::string name;  // the node's; of a wait "wait for NAME"
  std::string op;    // of a wait "wait for OP"
  std::string attributes, shape, axis;
  int64_t flops = 0;
  int64_t bytes = 0;  // read and written, as the op's cost has them; of a collective: sent
};
std::vector<SlotFigures> slot_figures(const Graph& graph, std::span<const TimelineSlot> slots,
                                      const TrafficOf& traffic);

// One program's times, and what its slots are.
struct ProgramProfile {
  std::vector<SlotFigures> slots;
  Timeline timeline;
};

struct RankProfile {
  int rank = 0;
  std::string title;            // "rank 3 (data 1, tensor 1)"
  int64_t first_step = 0;       // number of the first step, as metrics count
  std::vector<TimeSpan> steps;  // the whole of each, from fetching its batch to writing its metrics
  std::vector<ProgramProfile> programs;
  double peak_flops = 0;  // of this rank's threads, a second: measured
  double peak_bytes = 0;  // to and from memory
};

// All runs of one op, in all steps. On the compute lane ops, waits and "rest" (everything else that a step's time goes
// to: the batch, the metrics, the program's own loop) together take all of the steps' time.
struct OpRow {
  std::string lane;  // "compute" or "communication"
  std::string op;
  int64_t calls = 0;
  double seconds = 0;
  double share = 0;  // of the steps' time
  int64_t flops = 0;
  int64_t bytes = 0;
  // The least time that the limits allow: each node's operations at peak_flops, or its bytes at peak_bytes, whichever
  // takes longer. What lies in caches can be faster. 0 where there is no limit to compare with.
  double least_seconds = 0;
  bool bound_by_flops = false;
};
// Compute first, then communication; in each the longest first, "rest" last.
std::vector<OpRow> rows_by_op(const RankProfile& profile);

// For people: rows of one rank, by step.
std::string op_table(const RankProfile& profile, std::span<const OpRow> rows);
inline constexpr const char* kOpCsvHeader =
    "rank,lane,op,calls,milliseconds,share,flops,bytes,gflops_per_second,gigabytes_per_second,share_of_limit,bound\n";
// Totals of all steps; what is not known is empty.
std::string op_csv(const RankProfile& profile, std::span<const OpRow> rows);

// Events as JSON objects, separated by ",\n". `zero`: what is time 0 there, on this rank's clock.
std::string trace_events(const RankProfile& profile, int64_t zero);

}  // namespace synthesizer
