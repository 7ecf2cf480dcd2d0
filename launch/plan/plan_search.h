// The fastest ways to share out a run among so many ranks: every mesh that the configuration allows, with every choice
// that changes neither its result nor its batch.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "configs/schema/run.pb.h"
#include "launch/plan/planning.h"

namespace synthesizer {

struct Candidate {
  Planned planned;
  std::vector<std::pair<std::string, std::string>> choices;  // field and value: {"zero", "1"}
};

struct Search {
  int64_t ranks = 0;
  std::vector<Candidate> fastest;  // that fit, the fastest first; fewer bytes first on a tie
  int tried = 0;                   // meshes and choices that the configuration allows
  int64_t least_bytes = 0;         // that any of them needs
};

// With so many threads a rank. UsageError where no mesh of `ranks` is allowed, with what is wrong with the last.
Search search_plans(const config::Run& run, int64_t ranks, const DeviceRates& device, int threads, size_t limit);

nlohmann::ordered_json search_json(const Search& search, const DeviceRates& device);
void print_search(const Search& search, const DeviceRates& device);

// Tokens a second of the fastest against ranks, both in decades, and the line along which each rank would do as much as
// with the fewest. Searches that found nothing are left out; UsageError if all did.
std::string search_svg(const std::vector<Search>& searches, const std::string& title);

}  // namespace synthesizer
