// `synthesizer generate`: what a trained model makes of lines of text. An encoder-decoder fills the places marked
// <extra_id_0>, <extra_id_1>, … (T5's sentinels); a decoder goes on with the text.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/checkpoint/state_slices.h"
#include "core/train/decoding.h"
#include "dist/fake_communicator.h"
#include "launch/assembly.h"
#include "launch/commands.h"
#include "launch/config/load.h"
#include "launch/config/text.h"
#include "launch/cores.h"
#include "launch/marked_text.h"
#include "launch/rank_kernels.h"
#include "launch/text_lines.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

struct GenerateCommand {
  std::string checkpoint;
  std::string input = "-";
  int beam = 1;
  int64_t max_length = 0;
  int64_t batch = 8;
  bool fill = false;
  bool json = false;
};

// The run that wrote the checkpoint, for batches of `options.batch`.
config::Run run_of(const CheckpointReader& reader, const GenerateCommand& options) {
  config::Run run = parse_run(reader.state().config, (reader.folder() / "state.json").string());
  run.mutable_data()->set_batch(static_cast<int32_t>(options.batch));
  complete_run(run);
  const int64_t most = run.model().max_length();
  if (options.max_length > most)
    fail_usage("--max-length: got {}, expected at most the model's max_length {}", options.max_length, most);
  return run;
}

void print(const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
           const GenerateCommand& options) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::string filled = fill_marked(inputs[i], outputs[i]);
    if (options.json)
      fmt::print("{}\n",
                 nlohmann::ordered_json{{"input", inputs[i]}, {"output", outputs[i]}, {"filled", filled}}.dump());
    else
      fmt::print("{}\n", options.fill ? filled : outputs[i]);
  }
}

int generate(const GenerateCommand& options) {
  if (options.beam != 1) fail_usage("--beam: got {}, which is not in this version, expected 1 (greedy)", options.beam);
  const CheckpointReader reader(options.checkpoint);
  FakeCommunicator alone(0, 1);
  reader.verify(alone);
  const config::Run run = run_of(reader, options);
  const Tokenizer tokenizer(fs::path(run.data().shards()) / kTokenizerFile);
  Vocabulary vocabulary = tokenizer.vocabulary();
  vocabulary.sentinels = run.data().sentinels();

  StepGraphOptions graphs = graph_options(run, vocabulary);
  if (options.max_length > 0) graphs.shape.target_length = options.max_length;
  graphs.input_mask = true;
  const std::unique_ptr<Graph> graph = decoding_graph(graphs);
  const RankKernels kernels(run, threads_of_process(), 0);
  StateStore state(*graph, kernels.table().device());
  read_state(reader, state, CheckpointPart::kModel);

  const bool fills = graphs.model.structure == Structure::kEncoderDecoder;
  const std::vector<std::string> lines = read_lines(options.input);
  std::vector<std::vector<int32_t>> rows;
  for (const std::string& line : lines) {
    rows.push_back(encode_marked(line, tokenizer, vocabulary));
    if (fills) rows.back().push_back(vocabulary.eos);
  }
  GreedyDecoder decoder(graphs, kernels.table(), state);
  std::vector<std::string> outputs;
  for (const std::vector<int32_t>& tokens : decoder.decode(rows, vocabulary.eos, vocabulary.size()))
    outputs.push_back(tokenizer.to_text(tokens, vocabulary));
  print(lines, outputs, options);
  return 0;
}

}  // namespace

void add_generate_command(CommandLine& line) {
  const auto options = std::make_shared<GenerateCommand>();
  CLI::App& app = line.add("generate", "Text from a checkpoint: marked places filled in, or text gone on with",
                           "echo 'He opened the <extra_id_0> and went in.' | synthesizer generate --checkpoint "
                           "runs/quickstart/checkpoints/step_00000600",
                           [options](Session& session) {
                             Session::require_alone("generate");
                             int code = 0;
                             session.together([&] { code = generate(*options); });
                             return code;
                           });
  app.add_option("--checkpoint", options->checkpoint, "Folder of the checkpoint")->required();
  app.add_option("--input", options->input, "File of lines; - is stdin")->capture_default_str();
  app.add_option("--beam", options->beam, "Beams; 1 is greedy")->capture_default_str();
  app.add_option("--max-length", options->max_length, "Most tokens of an output; 0: the training's target length")
      ->check(at_least(0))
      ->capture_default_str();
  app.add_option("--batch", options->batch, "Lines at a time")->check(at_least(1))->capture_default_str();
  app.add_flag("--fill", options->fill, "Print each line with its marked places filled in, in brackets");
  app.add_flag("--json", options->json, "Print one JSON object a line");
}

}  // namespace synthesizer
