#include "core/train/profile_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/graph/op.h"

namespace synthesizer {
namespace {

using Kind = TimelineSlot::Kind;

constexpr const char* kRest = "rest";

double seconds_of(const TimeSpan& span) { return static_cast<double>(span.end - span.begin) * 1e-9; }

double steps_seconds(const RankProfile& profile) {
  double seconds = 0;
  for (const TimeSpan& step : profile.steps) seconds += seconds_of(step);
  return seconds;
}

const char* lane_of(Kind kind) { return kind == Kind::kCommunication ? "communication" : "compute"; }
int thread_of(Kind kind) { return kind == Kind::kCommunication ? 1 : 0; }

double ratio(double a, double b) { return b > 0 ? a / b : 0; }

// A row with what it is made of.
struct Sums {
  OpRow row;
  double flops_seconds = 0, bytes_seconds = 0;  // at the limits
};

void add(Sums& sums, const SlotFigures& slot, const RankProfile& profile, int64_t calls, double seconds) {
  const auto times = static_cast<double>(calls);
  sums.row.calls += calls;
  sums.row.seconds += seconds;
  sums.row.flops += calls * slot.flops;
  sums.row.bytes += calls * slot.bytes;
  if (slot.kind != Kind::kCompute) return;
  const double by_flops = ratio(static_cast<double>(slot.flops), profile.peak_flops);
  const double by_bytes = ratio(static_cast<double>(slot.bytes), profile.peak_bytes);
  sums.flops_seconds += times * by_flops;
  sums.bytes_seconds += times * by_bytes;
  sums.row.least_seconds += times * std::max(by_flops, by_bytes);
  sums.row.bound_by_flops = sums.flops_seconds > sums.bytes_seconds;
}

std::string json_text(const std::string& text) { return nlohmann::json(text).dump(); }

std::string metadata(const char* name, int rank, int thread, const std::string& arguments) {
  return fmt::format(R"({{"ph":"M","name":"{}","pid":{},"tid":{},"args":{{{}}}}})", name, rank, thread, arguments);
}

std::string slice(const std::string& name, const std::string& category, int rank, int thread, const TimeSpan& span,
                  int64_t zero, const std::string& arguments) {
  return fmt::format(R"({{"ph":"X","name":{},"cat":{},"pid":{},"tid":{},"ts":{:.3f},"dur":{:.3f},"args":{}}})", name,
                     category, rank, thread, static_cast<double>(span.begin - zero) * 1e-3,
                     static_cast<double>(span.end - span.begin) * 1e-3, arguments);
}

std::string arguments_of(const SlotFigures& slot) {
  nlohmann::ordered_json json;
  json["op"] = slot.op;
  if (!slot.attributes.empty()) json["attributes"] = slot.attributes;
  if (!slot.shape.empty()) json["shape"] = slot.shape;
  if (!slot.axis.empty()) json["axis"] = slot.axis;
  if (slot.kind == Kind::kCompute) json["flops"] = slot.flops;
  if (slot.kind != Kind::kWait) json[slot.kind == Kind::kCompute ? "bytes" : "bytes_sent"] = slot.bytes;
  return json.dump();
}

}  // namespace

std::vector<SlotFigures> slot_figures(const Graph& graph, std::span<const TimelineSlot> slots,
                                      const TrafficOf& traffic) {
  std::vector<SlotFigures> all;
  for (const TimelineSlot& slot : slots) {
    SlotFigures figures{.kind = slot.kind};
    if (slot.node == nullptr) {
      figures.name = figures.op = "wait for the last collectives";
      all.push_back(figures);
      continue;
    }
    const Node& node = *slot.node;
    const bool wait = slot.kind == Kind::kWait;
    figures.name = (wait ? "wait for " : "") + node.name;
    figures.op = fmt::format("{}{}", wait ? "wait for " : "", node.op->name());
    if (!wait) {
      figures.attributes = node.op->attributes();
      figures.shape = node.outputs[0].shape.to_string();
      std::vector<ValueType> inputs;
      for (const ValueRef& ref : node.inputs) inputs.push_back(graph.type(ref));
      const Cost cost = node.op->cost(inputs, node.outputs);
      figures.flops = cost.flops;
      figures.bytes = cost.bytes;
    }
    if (slot.kind == Kind::kCommunication) {
      const NodeTraffic sent = traffic(graph, node);
      figures.axis = sent.axis;
      figures.bytes = sent.bytes;
    }
    all.push_back(std::move(figures));
  }
  return all;
}

std::vector<OpRow> rows_by_op(const RankProfile& profile) {
  std::map<std::pair<std::string, std::string>, Sums> all;  // by lane and op
  const double whole = steps_seconds(profile);
  double rest = whole;
  for (const ProgramProfile& program : profile.programs)
    for (size_t s = 0; s < program.slots.size(); ++s) {
      const SlotFigures& slot = program.slots[s];
      double seconds = 0;
      for (size_t run = 0; run < program.timeline.runs(); ++run) seconds += seconds_of(program.timeline.run(run)[s]);
      add(all[{lane_of(slot.kind), slot.op}], slot, profile, static_cast<int64_t>(program.timeline.runs()), seconds);
      if (slot.kind != Kind::kCommunication) rest -= seconds;
    }
  std::vector<OpRow> rows;
  for (auto& [key, sums] : all) {
    std::tie(sums.row.lane, sums.row.op) = key;
    rows.push_back(sums.row);
  }
  rows.push_back({.lane = lane_of(Kind::kCompute),
                  .op = kRest,
                  .calls = static_cast<int64_t>(profile.steps.size()),
                  .seconds = rest});
  for (OpRow& row : rows) row.share = ratio(row.seconds, whole);
  const auto place = [](const OpRow& row) {
    return std::tuple(row.lane != lane_of(Kind::kCompute), row.op == kRest, -row.seconds);
  };
  std::sort(rows.begin(), rows.end(), [&](const OpRow& a, const OpRow& b) { return place(a) < place(b); });
  return rows;
}

std::string op_table(const RankProfile& profile, std::span<const OpRow> rows) {
  const auto steps = static_cast<double>(profile.steps.size());
  size_t width = 2;
  for (const OpRow& row : rows) width = std::max(width, row.op.size());
  std::string text = fmt::format("{:<13} {:<{}} {:>10} {:>10} {:>7} {:>9} {:>8}  {}\n", "lane", "op", width,
                                 "calls/step", "ms/step", "share", "GFLOP/s", "GB/s", "of limit");
  const auto figure = [](double value) { return value > 0 ? fmt::format("{:.1f}", value) : std::string("-"); };
  for (const OpRow& row : rows) {
    const std::string limit = row.least_seconds > 0
                                  ? fmt::format("{:.0f}% of {}", 100 * row.least_seconds / row.seconds,
                                                row.bound_by_flops ? "GFLOP/s" : "GB/s")
                                  : "-";
    text += fmt::format("{:<13} {:<{}} {:>10.0f} {:>10.3f} {:>6.1f}% {:>9} {:>8}  {}\n", row.lane, row.op, width,
                        static_cast<double>(row.calls) / steps, row.seconds * 1e3 / steps, 100 * row.share,
                        figure(ratio(static_cast<double>(row.flops), row.seconds) * 1e-9),
                        figure(ratio(static_cast<double>(row.bytes), row.seconds) * 1e-9), limit);
  }
  return text + fmt::format("{}: {} steps from {}, {:.3f} ms each; its limits: {:.1f} GFLOP/s, {:.1f} GB/s",
                            profile.title, profile.steps.size(), profile.first_step,
                            steps_seconds(profile) * 1e3 / steps, profile.peak_flops * 1e-9, profile.peak_bytes * 1e-9);
}

std::string op_csv(const RankProfile& profile, std::span<const OpRow> rows) {
  std::string text;
  const auto rate = [](int64_t amount, double seconds) {
    return amount > 0 ? fmt::format("{:.6g}", ratio(static_cast<double>(amount), seconds) * 1e-9) : std::string();
  };
  for (const OpRow& row : rows) {
    const bool limited = row.least_seconds > 0;
    text += fmt::format("{},{},{},{},{:.6f},{:.6f},{},{},{},{},{},{}\n", profile.rank, row.lane, row.op, row.calls,
                        row.seconds * 1e3, row.share, row.flops, row.bytes, rate(row.flops, row.seconds),
                        rate(row.bytes, row.seconds),
                        limited ? fmt::format("{:.6f}", ratio(row.least_seconds, row.seconds)) : "",
                        !limited             ? ""
                        : row.bound_by_flops ? "flops"
                                             : "bytes");
  }
  return text;
}

std::string trace_events(const RankProfile& profile, int64_t zero) {
  std::string text = metadata("process_name", profile.rank, 0, "\"name\":" + json_text(profile.title));
  const auto add = [&](const std::string& event) { text += ",\n" + event; };
  add(metadata("process_sort_index", profile.rank, 0, fmt::format("\"sort_index\":{}", profile.rank)));
  for (const Kind kind : {Kind::kCompute, Kind::kCommunication}) {
    const int thread = thread_of(kind);
    add(metadata("thread_name", profile.rank, thread, fmt::format("\"name\":\"{}\"", lane_of(kind))));
    add(metadata("thread_sort_index", profile.rank, thread, fmt::format("\"sort_index\":{}", thread)));
  }
  for (size_t i = 0; i < profile.steps.size(); ++i)
    add(slice(fmt::format("\"step {}\"", profile.first_step + static_cast<int64_t>(i)), "\"step\"", profile.rank, 0,
              profile.steps[i], zero, "{}"));
  for (const ProgramProfile& program : profile.programs)
    for (size_t s = 0; s < program.slots.size(); ++s) {
      const SlotFigures& slot = program.slots[s];
      const std::string name = json_text(slot.name), category = json_text(slot.op), arguments = arguments_of(slot);
      for (size_t run = 0; run < program.timeline.runs(); ++run)
        add(slice(name, category, profile.rank, thread_of(slot.kind), program.timeline.run(run)[s], zero, arguments));
    }
  return text;
}

}  // namespace synthesizer
