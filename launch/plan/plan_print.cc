#include "launch/plan/plan_print.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "dist/mesh.h"

namespace synthesizer {
namespace {

using Json = nlohmann::ordered_json;

Json memory_and_work(const Planned& p) {
  Json mesh, flops, collectives = Json::array();
  for (const auto& [axis, size] : p.mesh.axes) mesh[axis] = size;
  for (const CollectiveTotal& total : p.step.collectives)
    collectives.push_back({{"kind", to_string(total.kind)},
                           {"axis", total.axis},
                           {"ranks", total.ranks},
                           {"calls", total.traffic.calls},
                           {"bytes_sent", total.traffic.bytes}});
  for (const auto& [op, count] : p.step.flops) flops[op] = count;
  return {{"mesh", mesh},
          {"ranks", p.ranks},
          {"threads", p.threads},
          {"parameters", p.parameters},
          {"batch", p.batch},
          {"rows", p.rows},
          {"tokens", p.tokens},
          {"bytes",
           {{"parameters", p.step.parameters},
            {"fixed", p.step.fixed},
            {"optimizer", p.step.optimizer},
            {"sums", p.step.sums},
            {"copies", p.step.copies},
            {"step", p.step.arena},
            {"evaluation", p.evaluation},
            {"buffers", p.buffers},
            {"all", p.bytes()}}},
          {"peak",
           {{"op", p.step.peak.op},
            {"node", p.step.peak.node},
            {"gradients", p.step.peak.gradients},
            {"activations", p.step.peak.activations},
            {"inputs", p.step.peak.inputs},
            {"workspace", p.step.peak.workspace}}},
          {"collectives", collectives},
          {"flops", flops},
          {"product_flops", p.product_flops},
          {"recomputed_flops", p.recomputed_flops}};
}

void print_memory(const Planned& p) {
  const ArenaPeak& peak = p.step.peak;
  const auto line = [](std::string_view what, int64_t bytes) { fmt::print("  {:<26} {:>18}\n", what, bytes); };
  fmt::print("bytes of a rank\n");
  line("parameters", p.step.parameters);
  line("fixed matrices", p.step.fixed);
  line("optimizer", p.step.optimizer);
  line("sums over micro-batches", p.step.sums);
  line("copies in bf16", p.step.copies);
  line("step", p.step.arena);
  fmt::print("    at its peak, in {} {}:\n", peak.op, peak.node);
  line("    gradients", peak.gradients);
  line("    activations", peak.activations);
  line("    inputs", peak.inputs);
  line("    workspace", peak.workspace);
  line("evaluation", p.evaluation);
  line("communicators' buffers", p.buffers);
  line("all", p.bytes());
  if (p.outside.empty()) {
    fmt::print("  (what libraries take for themselves - code, stacks, MPI's own buffers - is not in it)\n");
    return;
  }
  fmt::print("outside of it, about, in the GPU's memory:\n");
  for (const OutsideBytes& outside : p.outside) line(outside.what, outside.bytes);
}

void print_work(const Planned& p) {
  fmt::print("collectives of a step          calls  bytes sent by a rank\n");
  for (const CollectiveTotal& total : p.step.collectives)
    fmt::print("  {:<14} {:<12} {:>6}  {:>20}\n", to_string(total.kind),
               fmt::format("{} ({})", total.axis, total.ranks), total.traffic.calls, total.traffic.bytes);
  if (p.step.collectives.empty()) fmt::print("  none\n");
  fmt::print("operations of a step, of a rank\n");
  int64_t all = 0;
  for (const auto& [op, flops] : p.step.flops) {
    fmt::print("  {:<26} {:>18}\n", op, flops);
    all += flops;
  }
  fmt::print("  {:<26} {:>18}\n", "all", all);
  fmt::print("  {:<26} {:>18}\n", "of matrix products' ops", p.product_flops);
  if (p.recomputed_flops > 0) fmt::print("  {:<26} {:>18}\n", "done a second time", p.recomputed_flops);
  fmt::print("{} tokens a step\n", p.tokens);
}

Json time_json(const Planned& p) {
  Json by_op;
  for (const auto& [op, seconds] : p.time.by_op) by_op[op] = seconds;
  return {{"step", p.time.step},         {"compute", p.time.compute}, {"memory", p.time.memory},
          {"overhead", p.time.overhead}, {"exposed", p.time.exposed}, {"communication", p.time.communication},
          {"by_op", std::move(by_op)}};
}

void print_time(const Planned& p) {
  const auto line = [&](std::string_view what, double seconds) {
    fmt::print("  {:<34} {:>10.6f} {:>5.1f}%\n", what, seconds, 100 * seconds / p.time.step);
  };
  fmt::print("seconds of a step on {}\n", p.device->name);
  line("ops limited by operations", p.time.compute);
  line("ops limited by memory", p.time.memory);
  line("starting ops", p.time.overhead);
  line("waiting for the network", p.time.exposed);
  fmt::print("  {:<34} {:>10.6f}\n", "all", p.time.step);
  fmt::print("  {:<34} {:>10.6f}  beside computing or waited for\n", "the network's own", p.time.communication);
  for (const auto& [op, seconds] : p.time.by_op)
    if (seconds > 0.02 * p.time.step) line(op, seconds);
  fmt::print("bound: {}\n", to_string(p.time.bound()));
  fmt::print("{:.1f}% of the peak of matrix products, {:.0f} tokens/s\n", 100 * p.utilisation(), p.tokens_per_second());
}

void print_device(const Planned& p, int64_t largest) {
  print_time(p);
  if (p.fits())
    fmt::print("memory: fits: needs {}, has {}\n", p.bytes(), p.available());
  else
    fmt::print("memory: does not fit: needs {}, has {}\n", p.bytes(), p.available());
  if (largest > 0)
    fmt::print("largest data.batch that fits: {}\n", largest);
  else
    fmt::print("largest data.batch that fits: none; not even one row a rank\n");
  fmt::print("{} steps: {:.2f} days, {:.1f} rank-hours (evaluation and checkpoints apart)\n", p.steps, p.days(),
             p.rank_hours());
}

}  // namespace

Json plan_json(const Planned& p, int64_t largest) {
  Json json = memory_and_work(p);
  for (const OutsideBytes& outside : p.outside)
    json["outside"].push_back({{"what", outside.what}, {"bytes", outside.bytes}});
  if (!p.device) return json;
  json["device"] = p.device->name;
  json["seconds"] = time_json(p);
  json["bound"] = to_string(p.time.bound());
  json["utilisation"] = p.utilisation();
  json["tokens_per_second"] = p.tokens_per_second();
  json["memory"] = {{"needed", p.bytes()}, {"available", p.available()}, {"fits", p.fits()}};
  json["largest_batch"] = largest;
  json["steps"] = p.steps;
  json["days"] = p.days();
  json["rank_hours"] = p.rank_hours();
  return json;
}

void print_plan(const Planned& p, int64_t largest) {
  fmt::print("mesh {}: {} rank(s) of {} thread(s), {} of {} rows a rank, {} parameters\n", to_string(p.mesh), p.ranks,
             p.threads, p.rows, p.batch, p.parameters);
  print_memory(p);
  print_work(p);
  if (p.device) print_device(p, largest);
}

}  // namespace synthesizer
