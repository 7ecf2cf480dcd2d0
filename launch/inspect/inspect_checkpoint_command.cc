// `synthesizer inspect checkpoint`: the tensors of a checkpoint in figures, once every byte has been found as written.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/checkpoint/reader.h"
#include "core/checkpoint/tensor_summary.h"
#include "dist/fake_communicator.h"
#include "launch/commands.h"

namespace synthesizer {
namespace {

using Json = nlohmann::ordered_json;

struct InspectCheckpoint {
  std::string checkpoint;
  bool json = false;
};

struct Totals {
  int64_t tensors = 0, elements = 0, bytes = 0;
};

Totals totals(const SafetensorsReader& file) {
  Totals sum;
  for (const StoredTensor& tensor : file.tensors()) {
    ++sum.tensors;
    sum.elements += (tensor.end - tensor.begin) / size_of(tensor.type);
    sum.bytes += tensor.end - tensor.begin;
  }
  return sum;
}

bool has_finite(const TensorSummary& summary) { return summary.least <= summary.most; }

// One line of the checkpoint, then one a tensor.
void print_json(const CheckpointReader& reader) {
  const CheckpointState& state = reader.state();
  Json line = {{"checkpoint", reader.folder().string()},   {"step", state.step},   {"seed", state.seed},
               {"program_version", state.program_version}, {"epoch", state.epoch}, {"example", state.example}};
  for (const CheckpointPart part : kCheckpointParts) {
    const Totals sum = totals(reader.file(part));
    line[std::string(file_name(part))] = {{"tensors", sum.tensors}, {"elements", sum.elements}, {"bytes", sum.bytes}};
  }
  fmt::print("{}\n", line.dump());
  for (const CheckpointPart part : kCheckpointParts)
    for (const StoredTensor& tensor : reader.file(part).tensors()) {
      const TensorSummary summary = summarize(reader.file(part), tensor);
      const auto finite = [&](double value) { return has_finite(summary) ? Json(value) : Json(); };
      const Json of_tensor = {{"file", file_name(part)},
                              {"name", tensor.name},
                              {"dims", tensor.shape},
                              {"dtype", to_string(tensor.type)},
                              {"bytes", tensor.end - tensor.begin},
                              {"checksum", fmt::format("{:016x}", reader.checksum(part, tensor.name))},
                              {"norm", summary.norm},
                              {"min", finite(summary.least)},
                              {"max", finite(summary.most)},
                              {"nonfinite", summary.nonfinite}};
      fmt::print("{}\n", of_tensor.dump());
    }
}

void print_table(const CheckpointReader& reader) {
  const CheckpointState& state = reader.state();
  fmt::print("{}\nstep {}, seed {}, program version {}, next example {} of epoch {}\n", reader.folder().string(),
             state.step, state.seed, state.program_version, state.example, state.epoch);
  size_t name = 4, dims = 4;
  for (const CheckpointPart part : kCheckpointParts)
    for (const StoredTensor& tensor : reader.file(part).tensors()) {
      name = std::max(name, tensor.name.size());
      dims = std::max(dims, shape_text(tensor.shape).size());
    }
  for (const CheckpointPart part : kCheckpointParts) {
    const Totals sum = totals(reader.file(part));
    fmt::print("\n{}: {} tensors, {} elements, {} bytes\n", file_name(part), sum.tensors, sum.elements, sum.bytes);
    fmt::print("{:<{}}  {:<{}}  {:<5}  {:>12}  {:>12}  {:>12}  {:>12}  {}\n", "name", name, "dims", dims, "dtype",
               "bytes", "norm", "min", "max", "checksum");
    for (const StoredTensor& tensor : reader.file(part).tensors()) {
      const TensorSummary summary = summarize(reader.file(part), tensor);
      const auto finite = [&](double value) { return has_finite(summary) ? fmt::format("{:.6g}", value) : "-"; };
      fmt::print("{:<{}}  {:<{}}  {:<5}  {:>12}  {:>12.6g}  {:>12}  {:>12}  {:016x}{}\n", tensor.name, name,
                 shape_text(tensor.shape), dims, to_string(tensor.type), tensor.end - tensor.begin, summary.norm,
                 finite(summary.least), finite(summary.most), reader.checksum(part, tensor.name),
                 summary.nonfinite == 0 ? "" : fmt::format("  {} not finite", summary.nonfinite));
    }
  }
}

int inspect_checkpoint(const InspectCheckpoint& options) {
  Session::require_alone("inspect checkpoint");
  const CheckpointReader reader(options.checkpoint);
  FakeCommunicator alone(0, 1);
  reader.verify(alone);
  if (options.json)
    print_json(reader);
  else
    print_table(reader);
  return 0;
}

}  // namespace

void add_inspect_checkpoint_command(CommandLine& line) {
  const auto options = std::make_shared<InspectCheckpoint>();
  CLI::App& app = line.add(
      "inspect checkpoint",
      "The tensors of a checkpoint: name, dims, dtype, bytes, norm, least and largest element, checksum as stored",
      "synthesizer inspect checkpoint runs/quickstart/checkpoints/step_00003000",
      [options](Session&) { return inspect_checkpoint(*options); });
  app.add_option("checkpoint", options->checkpoint, "Folder of the checkpoint")->required();
  app.add_flag("--json", options->json, "Print a JSON object for the checkpoint, then one a tensor");
}

}  // namespace synthesizer
