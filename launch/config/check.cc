#include "launch/config/check.h"

#include <fmt/ranges.h>

#include <bit>
#include <filesystem>
#include <map>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "core/attention/table.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/graph/layout.h"
#include "core/ops/cross_entropy.h"
#include "data/span_noise.h"
#include "dist/layout.h"
#include "launch/config/convert.h"
#include "launch/config/ranges.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;
using config::Data;
using config::Model;
using config::Run;
using config::Schedule;
using config::Stack;

// The stacks that a model's structure has, with the path of their fields.
std::vector<std::pair<std::string, const Stack*>> stacks(const Model& model) {
  std::vector<std::pair<std::string, const Stack*>> found;
  if (model.structure() != Model::DECODER) found.emplace_back("model.encoder", &model.encoder());
  if (model.structure() != Model::ENCODER_CLASSIFIER) found.emplace_back("model.decoder", &model.decoder());
  return found;
}

void check_freeze(const Run& run) {
  static const std::vector<std::string> parts = {"embedding", "encoder", "decoder", "output", "classifier"};
  for (const std::string& name : run.freeze()) {
    const std::string first = name.substr(0, name.find('.'));
    if (std::find(parts.begin(), parts.end(), first) == parts.end())
      fail_usage("freeze: unknown parameter '{}'{}", name, nearest_hint(first, parts));
  }
}

void check_model(const Model& model) {
  if (model.d_head() == 0)
    fail_usage(
        "model.d_head: 0 stands for d_model / num_heads, and {} is no multiple of {}. Give d_head, or another "
        "num_heads",
        model.d_model(), model.num_heads());
  const AttentionSizes sizes{.d_model = model.d_model(), .num_heads = model.num_heads(), .d_head = model.d_head()};
  for (const auto& [path, stack] : stacks(model))
    check_self_attention(attention_config(*stack, model.max_length()), sizes, stack == &model.decoder(), path);
  if (model.relative_bias()) {
    if (model.num_buckets() % 2 != 0)
      fail_usage("model.num_buckets: got {}, expected an even number", model.num_buckets());
    if (model.max_distance() <= model.num_buckets() / 2)
      fail_usage("model.max_distance: got {}, expected more than half of model.num_buckets, {}", model.max_distance(),
                 model.num_buckets() / 2);
  }
  const bool classifier = model.structure() == Model::ENCODER_CLASSIFIER;
  if (model.num_classes() != 0 && !classifier)
    fail_usage("model.num_classes: got {}, expected 0: only structure ENCODER_CLASSIFIER has classes",
               model.num_classes());
  if (model.num_classes() < 2 && classifier)
    fail_usage("model.num_classes: got {}, expected at least 2 for structure ENCODER_CLASSIFIER", model.num_classes());
  if (!model.tie_output() && classifier)
    fail_usage(
        "model.tie_output: got false, expected true: structure ENCODER_CLASSIFIER has no output over the vocabulary");
}

// A classifier's batch: texts, and one class each.
void check_classifier_lengths(const Data& data) {
  if (data.input_length() < 1) fail_usage("data.input_length: got {}, expected at least 1", data.input_length());
  if (data.target_length() != 0)
    fail_usage("data.target_length: got {}, expected 0: structure ENCODER_CLASSIFIER has one target an example",
               data.target_length());
}

void check_lengths(const Run& run) {
  const Data& data = run.data();
  const Model& model = run.model();
  const bool causal = data.objective() == Data::CAUSAL, classifier = model.structure() == Model::ENCODER_CLASSIFIER;
  if (!classifier && causal != (model.structure() == Model::DECODER))
    fail_usage("data.objective: got {} with model.structure {}, expected {}", Data::Objective_Name(data.objective()),
               Model::Structure_Name(model.structure()),
               causal ? "SPAN_DENOISING, or structure DECODER" : "CAUSAL, or structure ENCODER_DECODER");
  if (classifier) check_classifier_lengths(data);
  if (!classifier && causal && data.input_length() != 0)
    fail_usage("data.input_length: got {}, expected 0: objective CAUSAL has target_length only", data.input_length());
  for (const auto& [name, length] :
       {std::pair{"input_length", data.input_length()}, std::pair{"target_length", data.target_length()}})
    if (length > model.max_length())
      fail_usage("data.{}: got {}, expected at most model.max_length {}", name, length, model.max_length());
  if (data.packing() == Data::DOCUMENTS && !causal)
    fail_usage("data.packing: got DOCUMENTS with data.objective {}, expected STREAM, or objective CAUSAL",
               Data::Objective_Name(data.objective()));
  if (model.packed_positions() == Model::ROW && data.packing() != Data::DOCUMENTS)
    fail_usage("model.packed_positions: got ROW with data.packing STREAM, expected DOCUMENT, or packing DOCUMENTS");
  if (!causal && !classifier) {
    if (data.input_length() < 3) fail_usage("data.input_length: got {}, expected at least 3", data.input_length());
    const int64_t least =
        span_noise_sizes_for_inputs(data.input_length(), data.noise_density(), data.mean_span_length()).target_length();
    if (data.target_length() < least)
      fail_usage("data.target_length: got {}, expected at least the {} that input_length {} gives, or 0 for that many",
                 data.target_length(), least, data.input_length());
  }
}

void check_schedule(const Run& run) {
  const Schedule& schedule = run.schedule();
  const std::string kind = Schedule::Kind_Name(schedule.kind());
  const bool decays = schedule.kind() == Schedule::LINEAR || schedule.kind() == Schedule::COSINE;
  if (decays && schedule.end() > schedule.learning_rate())
    fail_usage("schedule.end: got {}, expected at most schedule.learning_rate {}", schedule.end(),
               schedule.learning_rate());
  const int64_t last = schedule.decay_steps() != 0 ? schedule.decay_steps() : run.steps();
  if (decays && schedule.warmup() >= last)
    fail_usage("schedule.warmup: got {}, expected less than the {} steps that {} takes", schedule.warmup(), last, kind);
  const bool by_root = schedule.kind() == Schedule::RSQRT || schedule.kind() == Schedule::INVERSE_SQRT;
  if (by_root && schedule.warmup() == 0) fail_usage("schedule.warmup: got 0, expected at least 1 for {}", kind);
}

std::string nearest_multiples(int64_t value, int64_t of) {
  const int64_t below = value / of * of;
  return fmt::format("{} {}", below == 0 ? "The least is" : fmt::format("The nearest are {} and", below), below + of);
}

// Into how many equal parts a batch is cut: by ranks, and by each rank's micro-batches or ORDERED's leaves.
void check_batch(const Run& run, std::string_view axis, int ranks) {
  const auto& parallel = run.parallel();
  const int64_t batch = run.data().batch(), parts = int64_t{ranks} * parallel.microbatches();
  const std::string by_ranks = axis.empty() ? "" : fmt::format("parallel.mesh.{} {}", axis, ranks);
  const std::string by = parallel.microbatches() == 1 ? by_ranks
                         : axis.empty()
                             ? fmt::format("parallel.microbatches {}", parallel.microbatches())
                             : fmt::format("{} x parallel.microbatches {}", by_ranks, parallel.microbatches());
  if (batch % parts != 0)
    fail_usage("data.batch: got {}, expected a multiple of {}. {}", batch, by, nearest_multiples(batch, parts));
  if (parallel.reduction() != config::Parallel::ORDERED) {
    if (parallel.leaves() != 4)
      fail_usage("parallel.leaves: got {} with parallel.reduction FAST, expected 4, or reduction ORDERED",
                 parallel.leaves());
    return;
  }
  const auto power_of_two = [](int64_t n) { return (n & (n - 1)) == 0; };
  if (!power_of_two(parallel.leaves()))
    fail_usage("parallel.leaves: got {}, expected a power of two. The nearest are {} and {}", parallel.leaves(),
               std::bit_floor(static_cast<unsigned>(parallel.leaves())),
               std::bit_ceil(static_cast<unsigned>(parallel.leaves())));
  if (!power_of_two(parts))
    fail_usage("parallel.reduction: got ORDERED with {}, expected a power of two. The nearest are {} and {}", by,
               std::bit_floor(static_cast<uint64_t>(parts)), std::bit_ceil(static_cast<uint64_t>(parts)));
  if (parallel.leaves() % parts != 0)
    fail_usage("parallel.leaves: got {}, expected a multiple of {}. The least is {}", parallel.leaves(), by, parts);
  if (batch % parallel.leaves() != 0)
    fail_usage("data.batch: got {}, expected a multiple of parallel.leaves {}. {}", batch, parallel.leaves(),
               nearest_multiples(batch, parallel.leaves()));
}

// What is rounded depends on who adds it.
void check_wire(const Run& run) {
  if (run.parallel().wire() != config::Parallel::BF16) return;
  if (run.parallel().reduction() == config::Parallel::ORDERED)
    fail_usage("parallel.wire: got BF16 with parallel.reduction ORDERED, expected FULL, or reduction FAST");
  if (run.precision() == Run::FP64)
    fail_usage("parallel.wire: got BF16 with precision FP64, expected FULL, or precision FP32 or BF16");
}

void check_parallel(const Run& run, int world) {
  const auto& mesh = run.parallel().mesh();
  const int data = data_ranks(run, world);
  if (int64_t{data} * mesh.tensor() != world)
    fail_usage(
        "parallel.mesh: data {} x tensor {} is {} rank(s), got {}. Start that many (mpirun -n {}), or change the mesh",
        data, mesh.tensor(), int64_t{data} * mesh.tensor(), world, int64_t{data} * mesh.tensor());
  const Layout layout = run_layout(run);
  const std::map<std::string_view, int> axis_size = {{"data", data}, {"tensor", mesh.tensor()}, {"", 1}};
  struct Split {
    std::string_view dim;
    std::string path;
    int size;
  };
  std::vector<Split> split = {{"heads", "model.num_heads", run.model().num_heads()},
                              {"ff", "model.d_ff", run.model().d_ff()},
                              {"vocab", "model.vocab_size", run.model().vocab_size()}};  // 0: padded to what fits
  for (const auto& [path, stack] : stacks(run.model()))
    if (stack->attention() == "LightConv" || stack->attention() == "DynConv")
      split.push_back({"heads", path + ".conv_heads", stack->conv_heads()});
  for (const char* dim : {"heads", "ff", "vocab"})
    if (!layout.axis("batch").empty() && layout.axis(dim) == layout.axis("batch"))
      fail_usage(
          "parallel.layout: batch and {} are both split over {}, and activations have both. Split {} over another "
          "axis, "
          "or leave it out",
          dim, layout.axis(dim), dim);
  if (const int parts = axis_size.at(layout.axis("vocab")); kVocabularyParts % parts != 0)
    fail_usage(
        "parallel.mesh.{}: got {}, expected a divisor of {}, as the layout splits vocab over it. Leave vocab out of "
        "parallel.layout, or take {} ranks",
        layout.axis("vocab"), parts, kVocabularyParts, std::gcd(parts, int{kVocabularyParts}));
  check_batch(run, layout.axis("batch"), axis_size.at(layout.axis("batch")));
  check_wire(run);
  for (const auto& [dim, path, size] : split) {
    const std::string_view axis = layout.axis(dim);
    const int parts = axis_size.at(axis);
    if (size % parts != 0)
      fail_usage("{}: got {}, expected a multiple of parallel.mesh.{} {}, over which the layout splits {}. {}", path,
                 size, axis, parts, dim, nearest_multiples(size, parts));
  }
}

void check_folder(const std::string& path, const std::string& folder) {
  std::error_code error;
  if (!fs::exists(folder, error))
    fail_usage("{}: no such folder: {}. `synthesizer data build` writes one", path, folder);
  if (!fs::is_directory(folder, error))
    fail_usage("{}: not a folder: {}. `synthesizer data build` writes one", path, folder);
  if (!fs::exists(fs::path(folder) / "manifest.json", error))
    fail_usage(
        "{}: {} has no manifest.json: no shards, or their build is not finished. Run `synthesizer data build` again",
        path, folder);
}

}  // namespace

Layout run_layout(const Run& run) {
  static const std::vector<std::string> dims = {"batch", "heads", "ff", "vocab"};
  const MeshShape axes{{{"data", 1}, {"tensor", 1}}};
  try {
    return parse_layout(run.parallel().layout(), axes, dims);
  } catch (const UsageError& error) {
    fail_usage("parallel.{}", error.what());  // dist calls the field by its own name
  }
}

int data_ranks(const Run& run, int world) {
  const auto& mesh = run.parallel().mesh();
  return mesh.data() != 0 ? mesh.data() : std::max(1, world / mesh.tensor());
}

void check_names(const Run& run) {
  for (const auto& [path, stack] : stacks(run.model())) attention_parts(stack->attention(), path + ".attention");
  run_layout(run);
  check_freeze(run);
}

void check_values(const Run& run, int world) {
  check_ranges(run);
  check_version(run);
  check_model(run.model());
  check_lengths(run);
  check_schedule(run);
  check_parallel(run, world);
}

void check_objective(const Run& run) {
  if (run.model().structure() != config::Model::ENCODER_CLASSIFIER) return;
  fail_usage(
      "data.objective: got {} with model.structure ENCODER_CLASSIFIER, expected labelled examples, which no objective "
      "of this version has. `inspect graph` takes such a configuration",
      Data::Objective_Name(run.data().objective()));
}

void check_files(const Run& run) {
  if (run.data().shards().empty())
    fail_usage("data.shards: not given, expected a folder written by `synthesizer data build`");
  check_folder("data.shards", run.data().shards());
  if (!run.data().validation().empty()) check_folder("data.validation", run.data().validation());
}

void check_run(const Run& run, int world) {
  check_names(run);
  check_values(run, world);
  check_objective(run);
  check_files(run);
}

}  // namespace synthesizer
