// `synthesizer bench comm`: the collectives that training uses, over the ranks it is started with, beside MPI's own.
// Algorithm and bus bandwidth are nccl-tests' (PERFORMANCE.md): what a collective moves by its size, and what the links
// carry for it, which does not depend on the number of ranks.
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/graph/communication_lane.h"
#include "core/kernels/gemm.h"
#include "core/tensor/storage.h"
#include "launch/bench/device_figures.h"
#include "launch/commands.h"
#include "launch/config/device.h"
#include "launch/machine.h"

namespace synthesizer {
namespace {

struct BenchComm {
  int64_t least = 1 << 10, most = 1 << 26;  // bytes
  int64_t rounds = 20;
  std::string output;
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

// The share of a core's computing that a running collective takes: by how much longer both take together than computing
// alone, of the collective's own time. As in a step: the collective on a thread of its own.
double taken_share(Communicator& world, int threads, int64_t rounds) {
  constexpr int64_t kBytes = 16 << 20, kSize = 512;
  Product product;
  product.m = product.n = product.k = kSize;
  product.a = product.b = product.c = {{0, 0}, kSize, 1};
  const std::unique_ptr<Gemm> gemm = make_gemm(product, {threads}, nullptr);
  Storage block(kBytes), matrices(3 * kSize * kSize * 4),
      workspace(std::max<int64_t>(gemm_workspace(product, {threads}), 1));
  constexpr int64_t kMatrix = kSize * kSize * 4;
  CommunicationLane lane({[&] { world.all_reduce(block.data(), kBytes / 4, DType::kFloat32, Reduction::kSum); }});
  const auto seconds = [&](int products, bool collective) {
    return best_of(world, rounds, [&, products, collective] {
      if (collective) lane.submit(0);
      for (int i = 0; i < products; ++i)
        gemm->run(matrices.data(), matrices.data() + kMatrix, matrices.data() + 2 * kMatrix, workspace.data());
      lane.finish();
    });
  };
  const double alone = seconds(0, true), one = seconds(1, false);
  const int products = std::max(1, static_cast<int>(2 * alone / one));  // outlast the collective
  return std::clamp((seconds(products, true) - seconds(products, false)) / alone, 0.0, 1.0);
}

// Puts the link that these ranks have into a device file.
void update_device(const BenchComm& options, config::Device device, const std::vector<CollectiveSeconds>& calls,
                   double taken, bool one_host) {
  config::Link& link = one_host ? *device.mutable_inside() : *device.mutable_between();
  set_link_figures(calls, link);
  device.set_steps(config::Device::DIRECT);
  device.set_taken(taken);
  replace_text_file(options.output,
                    device_text(device, fmt::format("Measured by `synthesizer bench kernels`; the link {} by "
                                                    "`synthesizer bench comm` among {} ranks.",
                                                    one_host ? "inside a host" : "between hosts", calls[0].ranks)));
}

int bench_comm(const BenchComm& options, Session& session) {
  if (options.least > options.most)
    fail_usage("[bench comm] --min {} with --max {}: expected at most as much", options.least, options.most);
  Communicator& world = session.world();
  if (world.size() < 2) fail_usage("[bench comm] got one rank, expected several: mpirun -n 2 synthesizer bench comm");
  config::Device device;
  if (!options.output.empty()) {
    if (!std::filesystem::exists(options.output))
      fail_usage("[bench comm] --output {}: no such device file. Write it first: synthesizer bench kernels --output {}",
                 options.output, options.output);
    device = load_device(options.output);
  }
  const int threads = session.threads(), ranks_on_host = session.ranks_on_host();  // collective
  std::vector<CollectiveSeconds> calls;
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
      if (subject.name == "all_reduce") calls.push_back({Collective::kAllReduce, count * 4, world.size(), own});
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
  if (options.output.empty()) return 0;
  const double taken = taken_share(world, threads, options.rounds);
  if (world.rank() == 0 && calls.empty())
    fail_usage("[bench comm] --output {}: nothing was measured from --min {} to --max {}", options.output,
               options.least, options.most);
  if (world.rank() == 0) update_device(options, std::move(device), calls, taken, ranks_on_host == world.size());
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
  app.add_option("--output", options->output, "Device file to update with the link's latency and bandwidth");
  app.add_flag("--json", options->json, "One line of JSON a size");
}

}  // namespace synthesizer
