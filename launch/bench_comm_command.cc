// `synthesizer bench comm`: the collectives that training uses, over the ranks it is started with, beside MPI's own.
// Algorithm and bus bandwidth are nccl-tests' (PERFORMANCE.md): what a collective moves by its size, and what the links
// carry for it, which does not depend on the number of ranks.
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/tensor/storage.h"
#include "launch/commands.h"

namespace synthesizer {
namespace {

struct BenchComm {
  int64_t least = 1 << 10, most = 1 << 26;  // bytes
  int64_t rounds = 20;
  bool json = false;
};

// One collective of float32 on `bytes` in all: of an all_gather what each rank ends with, of a reduce_scatter what it
// begins with. Calls that do the same, ours and MPI's.
struct Subject {
  std::string name;
  double bus_factor;                                                         // of bus to algorithm bandwidth
  std::function<void(std::byte*in, std::byte*out, int64_t count)> own, mpi;  // count: all elements
};

void check(int code, const char* call) {
  if (code != MPI_SUCCESS) fail("[bench comm] {} failed", call);
}

std::vector<Subject> subjects(Communicator& world) {
  const int n = world.size();
  const double share = static_cast<double>(n - 1) / n;
  const auto part = [n](int64_t count) { return static_cast<int>(count / n); };
  const MPI_Comm comm = MPI_COMM_WORLD;
  return {
      {"all_reduce", 2 * share,
       [&](std::byte* in, std::byte*, int64_t count) { world.all_reduce(in, count, DType::kFloat32, Reduction::kSum); },
       [=](std::byte* in, std::byte*, int64_t count) {
         check(MPI_Allreduce(MPI_IN_PLACE, in, static_cast<int>(count), MPI_FLOAT, MPI_SUM, comm), "MPI_Allreduce");
       }},
      {"reduce_scatter", share,
       [&, n](std::byte* in, std::byte* out, int64_t count) {
         world.reduce_scatter(in, out, count / n, DType::kFloat32, Reduction::kSum);
       },
       [=](std::byte* in, std::byte* out, int64_t count) {
         check(MPI_Reduce_scatter_block(in, out, part(count), MPI_FLOAT, MPI_SUM, comm), "MPI_Reduce_scatter_block");
       }},
      {"all_gather", share,
       [&, n](std::byte* in, std::byte* out, int64_t count) { world.all_gather(in, out, count / n, DType::kFloat32); },
       [=](std::byte* in, std::byte* out, int64_t count) {
         check(MPI_Allgather(in, part(count), MPI_FLOAT, out, part(count), MPI_FLOAT, comm), "MPI_Allgather");
       }},
      {"all_to_all", share,
       [&, n](std::byte* in, std::byte* out, int64_t count) { world.all_to_all(in, out, count / n, DType::kFloat32); },
       [=](std::byte* in, std::byte* out, int64_t count) {
         check(MPI_Alltoall(in, part(count), MPI_FLOAT, out, part(count), MPI_FLOAT, comm), "MPI_Alltoall");
       }},
      {"broadcast", 1, [&](std::byte* in, std::byte*, int64_t count) { world.broadcast(in, count * 4, 0); },
       [=](std::byte* in, std::byte*, int64_t count) {
         check(MPI_Bcast(in, static_cast<int>(count), MPI_FLOAT, 0, comm), "MPI_Bcast");
       }},
  };
}

// Seconds of the best round: a round is as long as its slowest rank.
double best_of(Communicator& world, int64_t rounds, const std::function<void()>& call) {
  double best = 0;
  for (int64_t i = -2; i < rounds; ++i) {  // two that are not counted
    world.barrier();
    const auto start = std::chrono::steady_clock::now();
    call();
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    world.all_reduce(&seconds, 1, DType::kFloat64, Reduction::kMax);
    if (i >= 0 && (best == 0 || seconds < best)) best = seconds;
  }
  return best;
}

int bench_comm(const BenchComm& options, Session& session) {
  if (options.least > options.most)
    fail_usage("[bench comm] --min {} with --max {}: expected at most as much", options.least, options.most);
  Communicator& world = session.world();
  if (world.size() < 2) fail_usage("[bench comm] got one rank, expected several: mpirun -n 2 synthesizer bench comm");
  Storage in(options.most), out(options.most);
  if (world.rank() == 0 && !options.json)
    fmt::print("{:<15} {:>11}  {:>11} {:>9} {:>9}  {:>11} {:>9} {:>9}\n", "collective", "bytes", "seconds", "alg GB/s",
               "bus GB/s", "MPI seconds", "alg GB/s", "bus GB/s");
  for (const Subject& subject : subjects(world))
    for (int64_t bytes = options.least; bytes <= options.most; bytes *= 4) {
      const int64_t count = bytes / 4 / world.size() * world.size();
      if (count == 0) continue;
      const auto call = [&](const auto& of) { return [&] { of(in.data(), out.data(), count); }; };
      const double own = best_of(world, options.rounds, call(subject.own));
      const double mpi = best_of(world, options.rounds, call(subject.mpi));
      if (world.rank() != 0) continue;
      const auto algorithm = [&](double seconds) { return static_cast<double>(count * 4) / seconds / 1e9; };
      if (options.json)
        fmt::print("{}\n", nlohmann::ordered_json{{"collective", subject.name},
                                                  {"ranks", world.size()},
                                                  {"bytes", count * 4},
                                                  {"seconds", own},
                                                  {"algorithm_gb_per_second", algorithm(own)},
                                                  {"bus_gb_per_second", algorithm(own) * subject.bus_factor},
                                                  {"mpi_seconds", mpi},
                                                  {"mpi_algorithm_gb_per_second", algorithm(mpi)},
                                                  {"mpi_bus_gb_per_second", algorithm(mpi) * subject.bus_factor}}
                               .dump());
      else
        fmt::print("{:<15} {:>11}  {:>11.6f} {:>9.3f} {:>9.3f}  {:>11.6f} {:>9.3f} {:>9.3f}\n", subject.name, count * 4,
                   own, algorithm(own), algorithm(own) * subject.bus_factor, mpi, algorithm(mpi),
                   algorithm(mpi) * subject.bus_factor);
    }
  return 0;
}

}  // namespace

void add_bench_comm_command(CommandLine& line) {
  const auto options = std::make_shared<BenchComm>();
  CLI::App& app = line.add("bench comm", "Bandwidth of each collective by size, beside MPI's own",
                           "mpirun -n 2 synthesizer bench comm --max 1048576 --json",
                           [options](Session& session) { return bench_comm(*options, session); });
  app.add_option("--min", options->least, "Bytes of the smallest call")->check(at_least(4))->capture_default_str();
  app.add_option("--max", options->most, "Bytes of the largest; sizes grow by four")
      ->check(at_least(4))
      ->capture_default_str();
  app.add_option("--rounds", options->rounds, "Timed calls of each, of which the best counts")
      ->check(at_least(1))
      ->capture_default_str();
  app.add_flag("--json", options->json, "One line of JSON a size");
}

}  // namespace synthesizer
