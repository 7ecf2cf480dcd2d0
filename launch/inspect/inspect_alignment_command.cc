// `synthesizer inspect alignment`: what the self-attentions of trained models look at, beside the same models before
// training, as pictures and tables. Several checkpoints are laid over each other, on the same text.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/checkpoint/reader.h"
#include "core/checkpoint/state_slices.h"
#include "core/report/alignment_report.h"
#include "core/train/alignment.h"
#include "dist/fake_communicator.h"
#include "launch/assembly.h"
#include "launch/commands.h"
#include "launch/config/check.h"
#include "launch/config/convert.h"
#include "launch/config/load.h"
#include "launch/config/text.h"
#include "launch/cores.h"
#include "launch/output_folder.h"
#include "launch/rank_kernels.h"
#include "launch/text_lines.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

struct InspectAlignment {
  std::vector<std::string> checkpoints;
  std::string input;
  std::vector<int64_t> layers;  // 1: the first
  int64_t examples = 32;
  std::string output;
};

constexpr int64_t kMostRows = 8;  // of a batch: what is looked at is kept whole

// A checkpoint and the run that wrote it.
struct Subject {
  explicit Subject(const std::string& folder) : reader(folder) {
    FakeCommunicator alone(0, 1);
    reader.verify(alone);
    run = parse_run(reader.state().config, (reader.folder() / "state.json").string());
    complete_run(run);
  }

  fs::path folder() const { return fs::canonical(reader.folder()); }
  // Where the checkpoint lies as a run has it; else the checkpoint's own folder.
  fs::path run_folder() const {
    const fs::path above = folder().parent_path();
    return above.filename() == "checkpoints" ? above.parent_path() : folder();
  }
  std::string name() const { return run_folder().filename().string(); }
  Tokenizer tokenizer() const { return Tokenizer(fs::path(run.data().shards()) / kTokenizerFile); }

  CheckpointReader reader;
  config::Run run;
};

// What all models are given: examples of the first one's run.
struct Text {
  std::unique_ptr<BatchSource> source;
  std::optional<Objective> objective;
  std::string tokenizer;  // its hash
  std::string about;
};

// Stacks of the run's model with their layers, as "the encoder has 6, the decoder 6".
std::vector<std::pair<std::string, int64_t>> stacks(const config::Run& run) {
  if (run.model().structure() == config::Model::DECODER) return {{"decoder", run.model().decoder().layers()}};
  if (run.model().structure() != config::Model::ENCODER_DECODER) return {{"encoder", run.model().encoder().layers()}};
  return {{"encoder", run.model().encoder().layers()}, {"decoder", run.model().decoder().layers()}};
}

void check_layers(const InspectAlignment& options, const Subject& subject) {
  int64_t most = 0;
  std::vector<std::string> counts;
  for (const auto& [stack, layers] : stacks(subject.run)) {
    most = std::max(most, layers);
    counts.push_back(fmt::format("the {} has {}", stack, layers));
  }
  for (const int64_t layer : options.layers)
    if (layer < 1 || layer > most)
      fail_usage("--layer: got {}, expected 1 to {}: of {}, {}", layer, most, subject.reader.folder().string(),
                 fmt::join(counts, " and "));
}

Text text_of(const InspectAlignment& options, config::Run run, int64_t batch) {
  run.mutable_data()->set_batch(static_cast<int32_t>(batch));
  Text text;
  if (options.input.empty()) {
    check_files(run);
    const RunData data(run);
    text.source = data.validation({0, batch}, 0);
    text.objective.emplace(data.objective());
    text.tokenizer = data.tokenizer().sha256();
    const std::string& folder = run.data().validation().empty() ? run.data().shards() : run.data().validation();
    text.about =
        fmt::format("Text: the first examples, at most {}, of the validation text of {}.", options.examples, folder);
    return text;
  }
  const Tokenizer tokenizer(fs::path(run.data().shards()) / kTokenizerFile);
  text.objective.emplace(objective_options(run.data()), tokenizer.vocabulary());
  text.source = line_examples(read_lines(options.input), tokenizer, *text.objective, run.seed(), batch);
  text.tokenizer = tokenizer.sha256();
  text.about = fmt::format("Text: the first examples, at most {}, of {}.", options.examples,
                           options.input == "-" ? "the lines given" : options.input);
  return text;
}

// The other models must read the first one's examples.
void check_same_text(const Subject& first, const Subject& other, const Text& text) {
  const std::string name = other.reader.folder().string();
  if (other.tokenizer().sha256() != text.tokenizer)
    fail_usage("--checkpoint {}: it has another tokenizer than {}, expected the same, to read the same text", name,
               first.reader.folder().string());
  if (other.run.model().structure() != first.run.model().structure() ||
      other.run.data().sentinels() != first.run.data().sentinels())
    fail_usage(
        "--checkpoint {}: its structure or sentinels are not those of {}, expected the same, to read the same "
        "text",
        name, first.reader.folder().string());
  const int64_t longest = std::max(text.objective->input_length(), text.objective->target_length());
  if (longest > other.run.model().max_length())
    fail_usage("--checkpoint {}: its max_length is {}, expected at least the {} of the examples of {}", name,
               other.run.model().max_length(), longest, first.reader.folder().string());
}

// The names under which the models are shown: that of the run, with a number where another run has it too. `initial`:
// no earlier checkpoint is of the same run.
struct Name {
  std::string text;
  bool initial = true;
};

std::vector<Name> names_of(const std::deque<Subject>& subjects) {
  std::vector<Name> names;
  for (const Subject& subject : subjects) {
    Name name{subject.name()};
    const auto taken = [&] {
      return std::any_of(names.begin(), names.end(), [&](const Name& other) { return other.text == name.text; });
    };
    for (int number = 2; taken(); ++number) name.text = fmt::format("{} ({})", subject.name(), number);
    for (size_t i = 0; i < names.size(); ++i) {
      if (subjects[i].folder() == subject.folder())
        fail_usage("--checkpoint {}: given twice", subject.reader.folder().string());
      if (subjects[i].run_folder() != subject.run_folder()) continue;
      name = {names[i].text, false};
      break;
    }
    names.push_back(name);
  }
  return names;
}

// Adds the model's initial values (unless an earlier checkpoint of the run gave them) and the checkpoint.
void look(const Subject& subject, const InspectAlignment& options, Text& text, int64_t batch, const Name& name,
          AlignmentReport& report) {
  StepGraphOptions graphs = graph_options(subject.run, text.objective->vocabulary());
  graphs.shape = {batch, text.objective->input_length(), text.objective->target_length()};
  graphs.input_mask = graphs.input_mask || !options.input.empty();
  std::vector<int64_t> layers;
  for (const int64_t layer : options.layers) layers.push_back(layer - 1);
  const RankKernels kernels(subject.run, threads_of_process(), 0);
  AlignmentSurvey survey(graphs, layers, kernels.table());
  const size_t color = report.samples.empty() ? 0 : report.samples.back().color + 1;
  const std::string moment = fmt::format("step {}", subject.reader.state().step);
  if (name.initial) {
    survey.state().initialize(subject.run.seed());
    report.samples.push_back({name.text, "initial", true, color, survey.run(*text.source, options.examples)});
  }
  read_state(subject.reader, survey.state(), CheckpointPart::kModel);
  report.samples.push_back({name.text, moment, false, color, survey.run(*text.source, options.examples)});

  report.about.push_back(fmt::format("{}: {}, {}.", name.text, subject.reader.folder().string(), moment));
  for (const auto& [stack, count] : stacks(subject.run)) {
    const auto& found = report.samples.back().layers;
    const bool has = std::any_of(found.begin(), found.end(),
                                 [&, stack = stack](const LayerAlignment& of) { return of.stack == stack; });
    if (has || *std::min_element(options.layers.begin(), options.layers.end()) > count) continue;
    const auto& config = stack == "encoder" ? subject.run.model().encoder() : subject.run.model().decoder();
    report.about.push_back(fmt::format("{}: {} has no alignment of queries to keys; no picture of the {}.", name.text,
                                       config.attention(), stack));
    fmt::print(stderr, "{}\n", report.about.back());
  }
}

int inspect_alignment(const InspectAlignment& options) {
  Session::require_alone("inspect alignment");
  if (options.checkpoints.size() > kSampleColors)
    fail_usage("--checkpoint: got {}, expected at most {}, which can be told apart in one picture",
               options.checkpoints.size(), kSampleColors);
  std::deque<Subject> subjects;
  for (const std::string& checkpoint : options.checkpoints) check_layers(options, subjects.emplace_back(checkpoint));
  const int64_t batch = std::min(options.examples, kMostRows);
  Text text = text_of(options, subjects.front().run, batch);
  for (const Subject& subject : subjects) check_same_text(subjects.front(), subject, text);

  const std::vector<Name> names = names_of(subjects);

  OutputFolder output("--output", options.output);
  AlignmentReport report;

  for (size_t i = 0; i < subjects.size(); ++i) look(subjects[i], options, text, batch, names[i], report);
  if (std::all_of(report.samples.begin(), report.samples.end(), [](const auto& s) { return s.layers.empty(); }))
    fail_usage("--checkpoint: no self-attention there has an alignment of queries to keys, expected at least one");
  report.about.push_back(text.about);
  report.about.emplace_back(
      "Histograms: weights of queries and keys that are no padding and, in a decoder, of keys that the query may see; "
      "an "
      "alignment that all examples share counts once. Heatmaps: means over the examples. Initial: values drawn with "
      "the "
      "run's seed.");
  write_alignment_report(output.partial(), report);
  output.commit();
  fmt::print("{}\n", (fs::path(options.output) / "index.html").string());
  return 0;
}

}  // namespace

void add_inspect_alignment_command(CommandLine& line) {
  const auto options = std::make_shared<InspectAlignment>();
  CLI::App& app = line.add(
      "inspect alignment",
      "Histograms of alignment weights and heatmaps by head, at initialisation and trained, as SVG and CSV",
      "synthesizer inspect alignment --checkpoint runs/quickstart/checkpoints/step_00003000 --layer 1,2 --output look",
      [options](Session&) { return inspect_alignment(*options); });
  app.add_option("--checkpoint", options->checkpoints,
                 "Folder of the checkpoint; given again, the histograms lie over each other, on the first one's text")
      ->required()
      ->take_all();
  app.add_option("--layer", options->layers, "Layers of each stack, 1 for the first: 1,3,5")
      ->required()
      ->delimiter(',');
  app.add_option("--output", options->output, "Folder to write, new or empty; index.html shows what is in it")
      ->required();
  app.add_option("--input", options->input,
                 "File of lines of text, - for stdin: each is made into examples as the run's own text; by default the "
                 "run's validation examples");
  app.add_option("--examples", options->examples, "Most examples to look at")
      ->check(at_least(1))
      ->capture_default_str();
}

}  // namespace synthesizer
