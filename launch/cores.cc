#include "launch/cores.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/hash.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

// A set of as many cores as the kernel may have.
struct CoreSet {
  explicit CoreSet(size_t cores) : bits(CPU_ALLOC_SIZE(cores) / sizeof(unsigned long), 0) {}
  size_t bytes() const { return bits.size() * sizeof bits[0]; }
  size_t cores() const { return 8 * bytes(); }
  cpu_set_t* get() { return reinterpret_cast<cpu_set_t*>(bits.data()); }
  std::vector<unsigned long> bits;
};

// A number in the environment, or 0.
int environment_number(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return 0;
  const std::string_view text(value);
  int number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

bool binding_wanted() {
  const char* value = std::getenv("SYNTHESIZER_BIND");
  const std::string_view choice = value == nullptr ? "cores" : value;
  if (choice != "cores" && choice != "none")
    fail_usage("SYNTHESIZER_BIND: got {}, expected cores or none", choice.empty() ? "an empty text" : choice);
  return choice == "cores";
}

// What a file of the kernel says of a core; -1: nothing.
int told(const fs::path& file) {
  std::ifstream in(file);
  int number = -1;
  return in >> number ? number : -1;
}

// cpuN/nodeM is a link to the core's node.
int node_of(const fs::path& core) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(core, error)) {
    const std::string name = entry.path().filename().string();
    int node = -1;
    if (name.starts_with("node") && std::from_chars(name.data() + 4, name.data() + name.size(), node).ec == std::errc())
      return node;
  }
  return -1;
}

bool alike_on_all(Communicator& ranks, std::span<const int> cores) {
  const std::string text = fmt::format("{}", fmt::join(cores, ","));
  const auto hash = static_cast<int64_t>(hash_name(text));
  int64_t ends[2] = {hash, ~hash};  // ~ turns the order round: the second maximum is that of the least
  ranks.all_reduce(ends, 2, DType::kInt64, Reduction::kMax);
  return ends[0] == ~ends[1];
}

// Threads that libraries have started stay behind where only the calling one is bound.
void bind_process(std::span<const int> cores) {
  CoreSet set(static_cast<size_t>(*std::max_element(cores.begin(), cores.end())) + 1);
  for (const int core : cores) CPU_SET_S(static_cast<size_t>(core), set.bytes(), set.get());
  for (const fs::directory_entry& task : fs::directory_iterator("/proc/self/task")) {
    const pid_t thread = std::atoi(task.path().filename().c_str());
    if (sched_setaffinity(thread, set.bytes(), set.get()) == 0 || errno == ESRCH) continue;  // it may just have ended
    fail("could not bind the rank to its cores: {}. SYNTHESIZER_BIND=none leaves ranks unbound", std::strerror(errno));
  }
}

}  // namespace

std::vector<int> allowed_cores() {
  for (size_t most = 1024;; most *= 2) {
    CoreSet set(most);
    if (sched_getaffinity(0, set.bytes(), set.get()) == 0) {
      std::vector<int> cores;
      for (size_t core = 0; core < set.cores(); ++core)
        if (CPU_ISSET_S(core, set.bytes(), set.get())) cores.push_back(static_cast<int>(core));
      return cores;
    }
    if (errno != EINVAL || most > (size_t{1} << 20))  // too small for this kernel
      fail("could not tell the cores that this process may run on: {}", std::strerror(errno));
  }
}

std::vector<int> in_order_of_nearness(std::vector<int> cores, const fs::path& system) {
  std::map<int, std::array<int, 5>> places;
  for (const int core : cores) {
    const fs::path at = system / "cpu" / fmt::format("cpu{}", core);
    places[core] = {node_of(at), told(at / "topology/physical_package_id"), told(at / "topology/die_id"),
                    told(at / "topology/core_id"), core};
  }
  std::sort(cores.begin(), cores.end(), [&](int a, int b) { return places[a] < places[b]; });
  return cores;
}

std::vector<int> share_of_cores(std::span<const int> cores, int rank, int ranks) {
  const size_t begin = cores.size() * static_cast<size_t>(rank) / static_cast<size_t>(ranks);
  const size_t end = cores.size() * static_cast<size_t>(rank + 1) / static_cast<size_t>(ranks);
  return {cores.begin() + static_cast<std::ptrdiff_t>(begin), cores.begin() + static_cast<std::ptrdiff_t>(end)};
}

int threads_of_process() {
  const int wanted = environment_number("OMP_NUM_THREADS");
  return wanted > 0 ? wanted : static_cast<int>(allowed_cores().size());
}

int take_cores(Communicator& host, int wanted) {
  const bool binds = binding_wanted();
  const std::vector<int> cores = allowed_cores();
  const bool alike = alike_on_all(host, cores);
  const int ranks = host.size(), allowed = static_cast<int>(cores.size());
  // Where ranks are bound apart, each may have more than its share: those of one socket have all of it.
  const int share =
      alike ? allowed / ranks : std::min(allowed, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)) / ranks);
  if (wanted == 0) wanted = environment_number("OMP_NUM_THREADS");
  const int threads = wanted > 0 ? wanted : std::max(1, share);
  if (binds && alike && ranks > 1 && threads <= share)
    bind_process(share_of_cores(in_order_of_nearness(cores), host.rank(), ranks));
  return threads;
}

}  // namespace synthesizer
