#include "launch/plan/plan_search.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/base/error.h"
#include "core/report/chart.h"
#include "dist/mesh.h"
#include "launch/config/check.h"
#include "launch/config/fields.h"

namespace synthesizer {
namespace {

using Json = nlohmann::ordered_json;

// What a search chooses besides the mesh: a field and the values to try. Of one that only saves memory, later values
// save more and are never faster.
struct Choice {
  std::string name, path;
  std::vector<std::string> values;
  bool only_saves_memory = false;

  size_t index(const std::string& value) const {
    return static_cast<size_t>(std::find(values.begin(), values.end(), value) - values.begin());
  }
};

const std::vector<Choice>& choices() {
  static const std::vector<Choice> kChoices = {{"zero", "parallel.zero", {"0", "1", "2"}},
                                               {"recompute", "recompute", {"NONE", "ATTENTION", "BLOCK"}, true},
                                               {"microbatches", "parallel.microbatches", {"1", "2", "4", "8"}, true}};
  return kChoices;
}

// `run` with each combination of choices from `first` on.
void combine(const config::Run& run, size_t first, std::vector<std::pair<std::string, std::string>>& chosen,
             const std::function<void(const config::Run&)>& visit) {
  if (first == choices().size()) return visit(run);
  const Choice& choice = choices()[first];
  for (const std::string& value : choice.values) {
    config::Run with = run;
    set_field(with, choice.path + "=" + value);
    chosen.emplace_back(choice.name, value);
    combine(with, first + 1, chosen, visit);
    chosen.pop_back();
  }
}

// What is split over data ranks is whole with one of them, and gradients are split without stage 2 where there is but
// one micro-batch. ORDERED runs a leaf at a time, whatever the micro-batches.
bool repeats_another(const config::Run& run) {
  const auto& parallel = run.parallel();
  const bool ordered = parallel.reduction() == config::Parallel::ORDERED;
  if (ordered && parallel.microbatches() > 1) return true;
  return parallel.zero() > (parallel.mesh().data() == 1 ? 0 : ordered || parallel.microbatches() > 1 ? 2 : 1);
}

// Whether a candidate that fits on this mesh differs only in that it saves no more memory.
bool is_dominated(const Candidate& by, const MeshShape& mesh,
                  const std::vector<std::pair<std::string, std::string>>& chosen) {
  if (!(by.planned.mesh == mesh)) return false;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const Choice& choice = choices()[i];
    const size_t its = choice.index(by.choices[i].second), own = choice.index(chosen[i].second);
    if (choice.name == "zero" && choice.values[own] == "2" && choice.values[its] == "1") continue;  // sends more
    if (choice.only_saves_memory ? its > own : its != own) return false;
  }
  return true;
}

bool is_plain(const std::vector<std::pair<std::string, std::string>>& chosen) {
  for (size_t i = 0; i < chosen.size(); ++i)
    if (chosen[i].second != choices()[i].values[0]) return false;
  return true;
}

std::string choices_text(const Candidate& candidate) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : candidate.choices) parts.push_back(name + "=" + value);
  return fmt::format("{}", fmt::join(parts, " "));
}

}  // namespace

Search search_plans(const config::Run& run, int64_t ranks, const DeviceRates& device, int threads, size_t limit) {
  Search search;
  search.ranks = ranks;
  std::string refusal;
  std::vector<std::pair<std::string, std::string>> chosen;
  const auto consider = [&](const MeshShape& mesh, const config::Run& candidate) {
    if (repeats_another(candidate)) return;
    for (const Candidate& fits : search.fastest)
      if (is_dominated(fits, mesh, chosen)) return;
    try {
      check_values(candidate, static_cast<int>(ranks));
    } catch (const UsageError& error) {
      if (is_plain(chosen)) refusal = error.what();
      return;
    }
    Planned planned = plan_run(candidate, mesh, device, threads);
    search.least_bytes = search.tried == 0 ? planned.bytes() : std::min(search.least_bytes, planned.bytes());
    ++search.tried;
    if (planned.fits()) search.fastest.push_back({std::move(planned), chosen});
  };
  for (int64_t tensor = 1; tensor <= ranks; ++tensor) {
    if (ranks % tensor != 0) continue;
    const MeshShape mesh{{{"data", static_cast<int>(ranks / tensor)}, {"tensor", static_cast<int>(tensor)}}};
    combine(with_mesh(run, mesh), 0, chosen, [&](const config::Run& candidate) { consider(mesh, candidate); });
  }
  if (search.tried == 0) fail_usage("[plan] no mesh of {} ranks is allowed; the last: {}", ranks, refusal);
  std::stable_sort(search.fastest.begin(), search.fastest.end(), [](const Candidate& a, const Candidate& b) {
    return std::pair(a.planned.time.step, a.planned.bytes()) < std::pair(b.planned.time.step, b.planned.bytes());
  });
  if (search.fastest.size() > limit)
    search.fastest.erase(search.fastest.begin() + static_cast<std::ptrdiff_t>(limit), search.fastest.end());
  return search;
}

Json search_json(const Search& search, const DeviceRates& device) {
  Json found = Json::array();
  for (const Candidate& candidate : search.fastest) {
    const Planned& p = candidate.planned;
    Json mesh, row;
    for (const auto& [axis, size] : p.mesh.axes) mesh[axis] = size;
    row["mesh"] = mesh;
    for (const auto& [name, value] : candidate.choices) {
      const bool number = value.find_first_not_of("0123456789") == std::string::npos;
      row[name] = number ? Json(std::stoll(value)) : Json(value);
    }
    row["rows"] = p.rows;
    row["bytes"] = p.bytes();
    row["seconds"] = p.time.step;
    row["tokens_per_second"] = p.tokens_per_second();
    row["utilisation"] = p.utilisation();
    row["bound"] = to_string(p.time.bound());
    row["shares"] = {{"compute", p.time.compute / p.time.step},
                     {"memory", p.time.memory / p.time.step},
                     {"overhead", p.time.overhead / p.time.step},
                     {"network", p.time.exposed / p.time.step}};
    row["days"] = p.days();
    row["rank_hours"] = p.rank_hours();
    found.push_back(row);
  }
  return {{"ranks", search.ranks},
          {"device", device.name},
          {"tried", search.tried},
          {"available", device.memory_bytes - device.reserved_bytes},
          {"least_bytes", search.least_bytes},
          {"fastest", found}};
}

void print_search(const Search& search, const DeviceRates& device) {
  fmt::print("{} ranks of {}: {} allowed, the fastest that fit in {} bytes\n", search.ranks, device.name, search.tried,
             device.memory_bytes - device.reserved_bytes);
  if (search.fastest.empty()) {
    fmt::print("  none: the least of them needs {} bytes a rank\n", search.least_bytes);
    return;
  }
  fmt::print("  {:<22} {:<38} {:>6} {:>15} {:>10} {:>13} {:>7} {:<8} {:>8}\n", "mesh", "choices", "rows",
             "bytes a rank", "seconds", "tokens/s", "of peak", "bound", "days");
  for (const Candidate& candidate : search.fastest) {
    const Planned& p = candidate.planned;
    fmt::print("  {:<22} {:<38} {:>6} {:>15} {:>10.5f} {:>13.0f} {:>6.1f}% {:<8} {:>8.2f}\n", to_string(p.mesh),
               choices_text(candidate), p.rows, p.bytes(), p.time.step, p.tokens_per_second(), 100 * p.utilisation(),
               to_string(p.time.bound()), p.days());
  }
}

// A chart with linear y: what is drawn are the decades themselves.
std::string search_svg(const std::vector<Search>& searches, const std::string& title) {
  ChartSeries planned{.label = "planned", .color = "#1f77b4", .marked = true};
  ChartSeries ideal{.label = "as many a rank as with the fewest", .color = "#999", .dashed = true};
  double each = 0;
  for (const Search& search : searches) {
    if (search.fastest.empty()) continue;
    const double speed = search.fastest.front().planned.tokens_per_second();
    const auto ranks = static_cast<double>(search.ranks);
    if (each == 0) each = speed / ranks;
    planned.points.emplace_back(ranks, std::log10(speed));
    ideal.points.emplace_back(ranks, std::log10(each * ranks));
  }
  if (planned.points.empty()) fail_usage("[plan] --svg: there is nothing to draw, as nothing fits");
  return chart_svg({.title = title,
                    .x_label = "ranks",
                    .y_label = "tokens a second, log10",
                    .series = {ideal, planned},
                    .log_x = true,
                    .legend_left = true});
}

}  // namespace synthesizer
