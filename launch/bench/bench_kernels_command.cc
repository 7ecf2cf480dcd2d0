// `synthesizer bench kernels`: what this machine's kernels reach, the processor's or a GPU's, measured in real training
// steps of a few sizes, and the device file that `plan --device` reads. Started by mpirun, each rank measures while the
// others do.
#include <fmt/format.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/error.h"
#include "core/base/file.h"
#include "launch/bench/device_figures.h"
#include "launch/bench/node_times.h"
#include "launch/commands.h"
#include "launch/config/device.h"
#include "launch/machine.h"
#include "launch/rank_kernels.h"

namespace synthesizer {
namespace {

struct BenchKernels {
  std::string device = "cpu";
  int threads = 0;
  bool tf32 = false;
  int64_t rounds = 5;
  std::string output;
  bool json = false;
};

constexpr int64_t kReserved = int64_t{256} << 20;  // code, threads and MPI's buffers

struct StepSize {
  std::string attention;
  int64_t d_model, heads, batch, source, target, vocab;
  OptimizerKind optimizer;
  double dropout = 0;
};

// Together they have the ops of every model, in sizes from caches to memory. A GPU's caches hold more, and few rows
// leave most of it idle.
std::vector<StepSize> step_sizes(bool gpu) {
  using enum OptimizerKind;
  if (gpu)
    return {{"R+V", 768, 12, 64, 512, 114, 32128, kAdamW},     {"V", 768, 12, 32, 512, 114, 32128, kAdafactor, 0.1},
            {"D+FR", 512, 8, 32, 256, 64, 8192, kAdamW},       {"V", 1024, 16, 16, 256, 128, 8192, kAdamW},
            {"R", 512, 8, 64, 256, 64, 8192, kAdafactor, 0.1}, {"FD+Conv", 512, 8, 32, 256, 64, 2048, kAdamW},
            {"DynConv", 512, 8, 32, 256, 64, 2048, kAdamW},    {"V", 128, 2, 4, 64, 32, 1024, kAdamW}};
  return {{"R+V", 512, 8, 4, 512, 114, 16384, kAdamW},      {"V", 512, 8, 8, 128, 128, 4096, kAdafactor, 0.1},
          {"D+FR", 256, 4, 8, 256, 64, 8192, kAdamW},       {"V", 768, 12, 1, 256, 128, 2048, kAdamW},
          {"R", 256, 4, 8, 128, 64, 8192, kAdafactor, 0.1}, {"FD+Conv", 128, 4, 4, 128, 64, 2048, kAdamW},
          {"DynConv", 256, 4, 4, 128, 64, 2048, kAdamW},    {"V", 128, 2, 4, 64, 32, 1024, kAdamW}};
}

StepGraphOptions options_of(const StepSize& size, bool bfloat16, bool for_gpu) {
  StepGraphOptions options;
  options.bfloat16 = bfloat16;
  options.for_gpu = for_gpu;
  ModelConfig& model = options.model;
  model.vocab = size.vocab;
  model.d_model = size.d_model;
  model.d_ff = 4 * size.d_model;
  model.num_heads = size.heads;
  model.d_head = size.d_model / size.heads;
  model.encoder_layers = model.decoder_layers = 1;
  model.encoder.kind = model.decoder.kind = size.attention;
  model.encoder.max_length = model.decoder.max_length = std::max(size.source, size.target);
  model.dropout = size.dropout;
  options.shape = {size.batch, size.source, size.target};
  options.loss.z_loss = size.dropout > 0 ? 1e-4 : 0;
  options.optimizer.kind = size.optimizer;
  return options;
}

// What steps of one precision show.
struct Measured {
  std::vector<NodeSeconds> nodes;
  double peak = 0;  // of large products, operations a second
};

Measured measure(bool bfloat16, const RankKernels& kernels, int64_t rounds, MpiCommunicator& world) {
  Measured measured;
  const bool for_gpu = kernels.gpu() != nullptr;
  for (const StepSize& size : step_sizes(for_gpu))
    for (NodeSeconds& node : time_nodes(options_of(size, bfloat16, for_gpu), kernels.table(), rounds, world))
      measured.nodes.push_back(std::move(node));
  measured.peak = kernels.product_peak(bfloat16 ? DType::kBFloat16 : DType::kFloat32);
  world.all_reduce(&measured.peak, 1, DType::kFloat64, Reduction::kMax);
  return measured;
}

// Whose figures stand for what is not measured here.
const char* like(const Gpu* gpu) { return gpu != nullptr ? "h100" : "cpu"; }

// All that a device file has: of the links, which `bench comm` measures between processors, and of what a GPU's
// libraries take, the figures of a known device.
config::Device device_of(const Measured& float32, const Measured& bfloat16, const Gpu* gpu, int ranks_on_host) {
  config::Device device = load_device(like(gpu));
  device.set_name("this machine");
  device.clear_products();
  device.set_memory_bytes(gpu != nullptr ? gpu->memory_bytes()
                                         : sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGE_SIZE) / ranks_on_host);
  device.set_reserved_bytes(std::min(gpu != nullptr ? device.reserved_bytes() : kReserved, device.memory_bytes() / 2));
  device.set_ranks_per_host(ranks_on_host);
  set_kernel_figures(float32.nodes, float32.peak, device);
  set_product_figures(bfloat16.nodes, bfloat16.peak, config::Products::BF16, device);
  return device;
}

struct OpTotal {
  int64_t calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
};

void print(const std::vector<NodeSeconds>& nodes, const config::Device& device, const RankKernels& kernels,
           const std::optional<HostLink>& link, bool json) {
  std::map<std::string, OpTotal> totals;
  for (const NodeSeconds& node : nodes) {
    OpTotal& total = totals[node.op];
    ++total.calls;
    total.seconds += node.seconds;
    total.flops += static_cast<double>(node.cost.flops);
    total.bytes += static_cast<double>(node.cost.bytes);
  }
  std::map<std::string, double> slowdowns;
  for (const config::Slowdown& slowdown : device.slowdown()) slowdowns[slowdown.op()] = slowdown.times();
  if (json) {
    nlohmann::ordered_json ops = nlohmann::ordered_json::array();
    for (const auto& [op, total] : totals)
      ops.push_back({{"op", op},
                     {"calls", total.calls},
                     {"seconds", total.seconds},
                     {"flops_per_second", total.flops / total.seconds},
                     {"bytes_per_second", total.bytes / total.seconds},
                     {"slowdown", slowdowns.contains(op) ? slowdowns[op] : 1}});
    nlohmann::ordered_json line{{"threads", kernels.threads()},
                                {"product_peak", device.products(0).peak()},
                                {"product_peak_bf16", device.products(1).peak()},
                                {"memory_bandwidth", device.memory_bandwidth()},
                                {"op_seconds", device.op_seconds()},
                                {"ops", ops}};
    if (link) line["host_link"] = {{"to_device", link->to_device}, {"to_host", link->to_host}};
    fmt::print("{}\n", line.dump());
    return;
  }
  fmt::print("{:<30} {:>6} {:>10} {:>9} {:>8} {:>10}\n", "op", "calls", "seconds", "GFLOP/s", "GB/s", "x roofline");
  for (const auto& [op, total] : totals)
    fmt::print("{:<30} {:>6} {:>10.6f} {:>9.2f} {:>8.2f} {:>10}\n", op, total.calls, total.seconds,
               total.flops / total.seconds / 1e9, total.bytes / total.seconds / 1e9,
               slowdowns.contains(op) ? fmt::format("{:.2f}", slowdowns[op]) : "");
  for (const config::Products& products : device.products())
    fmt::print(
        "products, {}: peak {:.1f} GFLOP/s, large ones reach {:.0f}%, half at {:.0f} rows, {:.0f} columns, {:.0f} "
        "deep\n",
        config::Products::Precision_Name(products.precision()), products.peak() / 1e9, 100 * products.reached(),
        products.half_rows(), products.half_columns(), products.half_depth());
  fmt::print("memory: {:.1f} GB/s; starting an op: {:.2f} us; {}\n", device.memory_bandwidth() / 1e9,
             device.op_seconds() * 1e6, kernels.name());
  if (link)
    fmt::print("pinned memory of the host: {:.1f} GB/s to the GPU, {:.1f} GB/s back\n", link->to_device / 1e9,
               link->to_host / 1e9);
}

RankKernels make_kernels(const BenchKernels& options, Session& session) {
  if (options.device != "cpu" && options.device != "cuda")
    fail_usage("[bench kernels] --device: got {}, expected cpu or cuda", options.device);
  if (options.tf32 && options.device != "cuda") fail_usage("[bench kernels] --tf32 is for --device cuda");
  const int threads = session.threads(options.threads);
  if (options.device == "cpu") return RankKernels(threads);
  return RankKernels(threads, false, GpuOptions{session.rank_on_host(), options.tf32});
}

int bench_kernels(const BenchKernels& options, Session& session) {
  MpiCommunicator& world = session.world();
  const int ranks_on_host = session.ranks_on_host();  // collective
  const RankKernels kernels = make_kernels(options, session);
  std::optional<HostLink> link;
  if (kernels.gpu() != nullptr) link = host_link(*kernels.table().device());
  const Measured float32 = measure(false, kernels, options.rounds, world);
  const Measured bfloat16 = measure(true, kernels, options.rounds, world);
  if (world.rank() != 0) return 0;
  const config::Device device = device_of(float32, bfloat16, kernels.gpu(), ranks_on_host);
  if (!options.output.empty())
    replace_text_file(options.output,
                      device_text(device, fmt::format("Measured by `synthesizer bench kernels`: {} rank(s) of {}.\nThe "
                                                      "links are those of the device `{}`{}.",
                                                      world.size(), kernels.name(), like(kernels.gpu()),
                                                      kernels.gpu() != nullptr
                                                          ? ", as is what its libraries take"
                                                          : " until `synthesizer bench comm --output` has measured "
                                                            "them")));
  print(float32.nodes, device, kernels, link, options.json);
  return 0;
}

}  // namespace

void add_bench_kernels_command(CommandLine& line) {
  const auto options = std::make_shared<BenchKernels>();
  CLI::App& app = line.add("bench kernels", "What each op reaches in real steps; writes a device file for `plan`",
                           "synthesizer bench kernels --output machine.txtpb",
                           [options](Session& session) { return bench_kernels(*options, session); });
  app.add_option("--device", options->device, "cpu, or cuda: each op by the GPU's own clock, captured as in a step")
      ->capture_default_str();
  app.add_flag("--tf32", options->tf32, "Products of float32 in TF32, with --device cuda");
  app.add_option("--threads", options->threads, "Threads a rank; 0: its share of the cores")->check(at_least(0));
  app.add_option("--rounds", options->rounds, "Timed steps of each size, of which each op's fastest counts")
      ->check(at_least(1))
      ->capture_default_str();
  app.add_option("--output", options->output, "Device file to write");
  app.add_flag("--json", options->json, "One line of JSON");
}

}  // namespace synthesizer
