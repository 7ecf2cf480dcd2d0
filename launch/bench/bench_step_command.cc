// `synthesizer bench step`: whole training steps on one repeated batch of random tokens, through the trainer's own
// graph. The figures and their meaning are those of the usual benchmark of a PyTorch training step, to be raced against
// it.
#include <fmt/format.h>

#include <bit>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/graph/agreement.h"
#include "core/graph/report.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/train/memory.h"
#include "core/train/profile.h"
#include "core/train/train_step.h"
#include "dist/parallel.h"
#include "launch/bench/random_batch.h"
#include "launch/bench/step_products.h"
#include "launch/commands.h"
#include "launch/config/convert.h"
#include "launch/machine.h"
#include "launch/profile_options.h"
#include "launch/rank_kernels.h"

namespace synthesizer {
namespace {

struct BenchOptions {
  std::string attention = "V", precision = "fp32", wire = "full", recompute = "NONE", device = "cpu";
  int64_t batch = 8, source = 512, target = 114, layers = 6, d_model = 512, d_ff = 2048, heads = 8, d_head = 64;
  int64_t vocab = 32128, steps = 5;
  int64_t micro_batches = 1, leaves = 0;  // leaves: of ORDERED; 0: FAST
  int threads = 0, tensor = 1, zero = 0;
  bool products = false, tf32 = false;
  std::string profile;  // folder
  bool json = false;
};

constexpr int kWarmUp = kProfileWarmUp;

StepGraphOptions step_options(const BenchOptions& bench) {
  StepGraphOptions options;
  ModelConfig& model = options.model;
  model.structure = bench.source > 0 ? Structure::kEncoderDecoder : Structure::kDecoder;
  model.vocab = bench.vocab;
  model.d_model = bench.d_model;
  model.d_ff = bench.d_ff;
  model.num_heads = bench.heads;
  model.d_head = bench.d_head;
  model.encoder_layers = model.decoder_layers = bench.layers;
  model.encoder.kind = model.decoder.kind = bench.attention;
  model.encoder.filter_width = model.decoder.filter_width = 9;
  model.encoder.max_length = model.decoder.max_length = std::max({int64_t{512}, bench.source, bench.target});
  options.shape = {bench.batch, bench.source, bench.target};
  options.optimizer.kind = OptimizerKind::kAdamW;
  config::Run::Recompute recompute = config::Run::NONE;
  if (!config::Run::Recompute_Parse(bench.recompute, &recompute))
    fail_usage("[bench step] --recompute: got {}, expected NONE, ATTENTION or BLOCK", bench.recompute);
  options.recompute = recompute_choice(recompute);
  if (bench.precision != "fp32" && bench.precision != "bf16")
    fail_usage("[bench step] --precision: got {}, expected fp32 or bf16", bench.precision);
  options.bfloat16 = bench.precision == "bf16";
  options.relu_masks = bench.device == "cuda";
  return options;
}

Wire wire_of(const BenchOptions& bench, int data_ranks) {
  if (bench.wire == "full") return Wire::kFull;
  if (bench.wire != "bf16") fail_usage("[bench step] --wire: got {}, expected full or bf16", bench.wire);
  if (bench.leaves > 0) fail_usage("[bench step] --wire: got bf16 with --leaves, expected full");
  if (data_ranks == 1) fail_usage("[bench step] --wire: got bf16 with one data rank, expected full, or several ranks");
  return Wire::kBFloat16;
}

void print(const nlohmann::ordered_json& result, bool json) {
  if (json) {
    fmt::print("{}\n", result.dump());
  } else {
    for (const auto& [key, value] : result.items()) fmt::print("{:<18} {}\n", key, value.dump());
  }
}

// The least time of several runs.
struct Fastest {
  double seconds = 0;
  // Of the computing thread; without waiting for other ranks, nor for other programs on the machine.
  double processor = 0;

  template <typename Action>
  void run(bool counts, const Action& action) {
    const auto start = std::chrono::steady_clock::now();
    const double processor_start = thread_seconds();
    action();
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double processor_took = thread_seconds() - processor_start;
    if (!counts) return;
    if (seconds == 0 || took < seconds) seconds = took;
    if (processor == 0 || processor_took < processor) processor = processor_took;
  }
};

// The products of the same step, alone.
int bench_products(const BenchOptions& bench, Session& session) {
  const StepGraphOptions options = step_options(bench);
  if (session.world().size() > 1)
    fail_usage("[bench step] --products: got {} ranks, expected one", session.world().size());
  if (bench.device != "cpu") fail_usage("[bench step] --products: got --device {}, expected cpu", bench.device);
  if (!bench.profile.empty()) fail_usage("[bench step] --products and --profile exclude each other");
  if (bench.tensor > 1 || bench.zero > 0 || bench.micro_batches > 1 || bench.leaves > 0 || bench.wire != "full" ||
      options.recompute != Recompute::kNone)
    fail_usage(
        "[bench step] --products are those of a step in one piece: give no --tensor, --zero, --microbatches, --leaves, "
        "--wire or --recompute");
  const int threads = session.threads(bench.threads);
  const CpuKernelTable kernels(threads);
  StepProducts products(options, kernels, {threads});
  Fastest fastest;
  for (int64_t i = 0; i < bench.steps + kWarmUp; ++i) {
    products.refill();
    fastest.run(i >= kWarmUp, [&] { products.run(); });
  }
  print({{"attention", bench.attention},
         {"precision", bench.precision},
         {"seconds_per_step", fastest.seconds},
         {"products", products.count()},
         {"flops_per_step", products.flops()},
         {"gflop_per_second", static_cast<double>(products.flops()) / fastest.seconds / 1e9},
         {"memory_bytes", products.bytes()},
         {"processor_seconds_per_step", fastest.processor}},
        bench.json);
  return 0;
}

int bench_step(const BenchOptions& bench, Session& session) {
  if (bench.device != "cpu" && bench.device != "cuda")
    fail_usage("[bench step] --device: got {}, expected cpu or cuda", bench.device);
  if (bench.tf32 && (bench.device != "cuda" || bench.precision != "fp32"))
    fail_usage("[bench step] --tf32 is for --device cuda with --precision fp32");
  if (bench.products) return bench_products(bench, session);
  if (!bench.profile.empty()) {
    if (bench.steps > kMostProfiledSteps)
      fail_usage("[bench step] --profile: got --steps {}, expected at most {}", bench.steps, kMostProfiledSteps);
    session.together([&] { require_writable("--profile", bench.profile); });
  }
  StepGraphOptions options = step_options(bench);
  MpiCommunicator& world = session.world();
  if (world.size() % bench.tensor != 0)
    fail_usage("[bench step] --tensor: got {}, expected a divisor of the {} rank(s)", bench.tensor, world.size());
  const int data = world.size() / bench.tensor;
  if (bench.leaves > 0 && (!std::has_single_bit(static_cast<uint64_t>(bench.leaves)) || bench.leaves % data != 0))
    fail_usage("[bench step] --leaves: got {}, expected a power of two and a multiple of {} data rank(s)", bench.leaves,
               data);
  const int64_t parts = bench.leaves > 0 ? bench.leaves : data * bench.micro_batches;
  if (bench.batch % parts != 0)
    fail_usage("[bench step] --batch: got {}, expected a multiple of {}, the parts it is cut into", bench.batch, parts);
  options.accumulation.tree = bench.leaves > 0;
  options.accumulation.micro_batches = {parts / data, bench.leaves > 0 && bench.zero > 1};
  options.optimizer.in_parts = bench.zero > 0;
  const int threads = session.threads(bench.threads);
  const RankKernels kernels =
      bench.device == "cuda" ? RankKernels(threads, bench.leaves > 0, GpuOptions{session.rank_on_host(), bench.tf32})
                             : RankKernels(threads, bench.leaves > 0);
  const Mesh mesh({{{"data", data}, {"tensor", bench.tensor}}}, world);
  const Layout layout{{{"batch", "data"}, {"heads", "tensor"}, {"ff", "tensor"}, {"vocab", "tensor"}}};
  PartitionOptions partition;
  partition.update = {bench.zero, static_cast<int>(bench.leaves), wire_of(bench, data)};
  std::optional<ProfileOptions> limits;  // measured before the step is there, whose memory is to be the peak
  if (!bench.profile.empty()) {
    const double peak_flops = kernels.product_peak(options.bfloat16 ? DType::kBFloat16 : options.dtype);
    limits = profile_options(bench.steps, mesh, world.rank(), peak_flops, kernels.table());
  }
  TrainStep step(training_graphs(options, partition_for(mesh, layout, partition)), options.optimizer, kernels.table(),
                 kernels.communicators(mesh));
  step.state().initialize(1);
  const RandomBatch random(options.shape, bench.vocab, mesh.coordinate("data"), data);
  std::optional<Profile> profile;
  if (limits) profile.emplace(*limits, step.programs(), world, 0);
  Fastest fastest;
  double loss = 0;
  for (int64_t i = 0; i < bench.steps + kWarmUp; ++i) {
    world.barrier();
    if (profile) profile->begin_step(i);
    fastest.run(i >= kWarmUp, [&] { loss = step.run(random.batch(), i, 1e-3).loss; });
    if (profile) profile->end_step();
  }
  const std::string by_op = profile ? profile->write(bench.profile) : "";
  if (world.rank() != 0) return 0;
  fmt::print(stderr, "{}", by_op);
  const double tokens = static_cast<double>(bench.batch * (bench.source + bench.target));
  const auto flops = step.product_flops() * world.size();
  print({{"attention", bench.attention},
         {"precision", bench.precision},
         {"wire", bench.wire},
         {"recompute", bench.recompute},
         {"seconds_per_step", fastest.seconds},
         {"tokens_per_second", tokens / fastest.seconds},
         {"peak_bytes", kernels.gpu() != nullptr ? kernels.gpu()->peak_bytes() : peak_resident_bytes()},
         {"arena_bytes", step.program().arena_bytes()},
         {"flops_per_step", flops},
         {"loss", loss},
         {"processor_seconds_per_step", fastest.processor}},
        bench.json);
  return 0;
}

}  // namespace

void add_bench_step_command(CommandLine& line) {
  const auto options = std::make_shared<BenchOptions>();
  CLI::App& app = line.add("bench step", "Time whole training steps (AdamW, no dropout) on random tokens",
                           "synthesizer bench step --attention R+V --batch 8 --steps 5 --json",
                           [options](Session& session) { return bench_step(*options, session); });
  app.add_option("--attention", options->attention, "Self-attention of every layer, as V or R+V");
  app.add_option("--precision", options->precision, "fp32, or bf16: activations and products, with weights in float32");
  const auto count = [&](const char* name, int64_t& value, const char* help) {
    app.add_option(name, value, help)->check(at_least(1))->capture_default_str();
  };
  count("--batch", options->batch, "Examples a step, over all ranks");
  app.add_option("--source", options->source, "Encoder tokens an example; 0: a decoder alone")
      ->check(at_least(0))
      ->capture_default_str();
  count("--target", options->target, "Decoder tokens an example");
  count("--layers", options->layers, "Layers of each stack");
  count("--d-model", options->d_model, "Model width");
  count("--d-ff", options->d_ff, "Feed-forward width");
  count("--heads", options->heads, "Heads");
  count("--d-head", options->d_head, "Width of a head");
  count("--vocab", options->vocab, "Vocabulary");
  count("--steps", options->steps, "Timed steps, after two that are not");
  app.add_option("--threads", options->threads, "Threads a rank; 0: its share of the cores")->check(at_least(0));
  app.add_option("--tensor", options->tensor, "Tensor ranks; the others are data ranks")
      ->check(at_least(1))
      ->capture_default_str();
  count("--microbatches", options->micro_batches, "Parts of a rank's batch, one after the other");
  app.add_option("--leaves", options->leaves, "Of reduction ORDERED; 0: FAST")
      ->check(at_least(0))
      ->capture_default_str();
  app.add_option("--wire", options->wire, "full, or bf16: in what gradients are summed between data ranks")
      ->capture_default_str();
  app.add_option("--zero", options->zero, "ZeRO stage: 0, 1 or 2")->check(CLI::Range(0, 2))->capture_default_str();
  app.add_option("--recompute", options->recompute, "NONE, ATTENTION or BLOCK: what backward makes again")
      ->capture_default_str();
  app.add_option("--device", options->device, "cpu, or cuda: then peak_bytes is of the GPU's memory")
      ->capture_default_str();
  app.add_flag("--tf32", options->tf32, "Products of fp32 on a GPU in TF32");
  app.add_option("--profile", options->profile,
                 "Folder to write trace.json (opens in Perfetto) and by_op.csv of the timed steps to");
  app.add_flag("--products", options->products, "Time the step's matrix products alone");
  app.add_flag("--json", options->json, "One line of JSON");
}

}  // namespace synthesizer
