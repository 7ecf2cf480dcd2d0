// `synthesizer data vocab|build|inspect|verify`: text to shards, and what shards hold. The work is data/'s.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "core/base/error.h"
#include "data/builder.h"
#include "data/inspect.h"
#include "data/train_vocabulary.h"
#include "data/verify.h"
#include "launch/commands.h"
#include "launch/config/check.h"
#include "launch/config/convert.h"
#include "launch/config/load.h"
#include "launch/status_line.h"

namespace synthesizer {
namespace {

using Json = nlohmann::ordered_json;

void print_json(const Json& json) { fmt::print("{}\n", json.dump()); }

// Options of the text that documents come from.
void add_source_options(CLI::App& app, SourceOptions& source) {
  app.add_option("--text-field", source.text_field, "Field of a JSON line that holds the text")->capture_default_str();
  app.add_option_function<std::string>(
         "--document",
         [&source](const std::string& unit) { source.text_unit = unit == "file" ? TextUnit::kFile : TextUnit::kLine; },
         "What a document of a .txt file is")
      ->check(CLI::IsMember({"line", "file"}))
      ->default_str("line");
}

void add_vocab(CommandLine& line) {
  struct Options {
    VocabularyOptions vocabulary;
    bool json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App& app =
      line.add("data vocab", "Train a SentencePiece model with T5's settings: unigram, pad 0, eos 1, unk 2",
               "synthesizer data vocab --input 'data/sample/train-*.json.gz' --size 2000 --output spiece.model",
               [options](Session& session) {
                 Session::require_alone("data vocab");
                 VocabularyReport report;
                 session.together([&] {
                   StatusLine status(true);
                   report = train_vocabulary(options->vocabulary, [&](std::string_view stage, int64_t documents) {
                     status.update(stage, documents, 0, "documents");
                   });
                 });
                 const std::string output = options->vocabulary.output.string();
                 if (options->json)
                   print_json({{"output", output},
                               {"pieces", report.pieces},
                               {"documents", report.documents},
                               {"sentences", report.sentences},
                               {"sampled", report.sampled},
                               {"sha256", report.sha256}});
                 else
                   fmt::print("{}: {} pieces from {} documents ({} of {} sentences)\n", output, report.pieces,
                              report.documents, report.sampled, report.sentences);
                 return 0;
               });
  app.add_option("--input", options->vocabulary.inputs, "Text: .json.gz, .jsonl or .txt, as file names or patterns")
      ->required();
  app.add_option("--size", options->vocabulary.size, "Pieces")->capture_default_str();
  app.add_option("--output", options->vocabulary.output, "Model file to write")->required();
  add_source_options(app, options->vocabulary.source);
  app.add_flag("--json", options->json, "Print the result as a line of JSON");
}

struct BuildCommand {
  BuildOptions build;
  bool json = false;
};

int run_build(const BuildCommand& options, Session& session) {
  BuildRanks ranks;
  if (Session::launched_size() > 1) {
    const BuildOptions& build = options.build;
    session.require_same({{"command", "data build"},
                          {"--input", fmt::format("{}", fmt::join(build.inputs, " "))},
                          {"--tokenizer", build.tokenizer.string()},
                          {"--output", build.output.string()},
                          {"--shards", fmt::format("{}", build.shards)},
                          {"--compress", build.compress ? "given" : "not given"},
                          {"--text-field", build.source.text_field},
                          {"--document", build.source.text_unit == TextUnit::kLine ? "line" : "file"}});
    MpiCommunicator& world = session.world();
    ranks = {world.rank(), world.size(), [&world] { world.barrier(); }};
  }
  BuildReport report;
  {
    StatusLine status(ranks.rank == 0);
    report = build_shards(options.build, ranks, [&](const BuildProgress& at) {
      status.update(at.stage, at.documents, at.all_documents, "documents");
    });
  }
  if (ranks.rank != 0) return 0;
  const std::string output = options.build.output.string();
  if (options.json)
    print_json({{"output", output},
                {"documents", report.documents},
                {"tokens", report.tokens},
                {"shards", report.shards},
                {"bytes", report.bytes},
                {"kept_shards", report.kept_shards},
                {"already_finished", report.already_finished}});
  else if (report.already_finished)
    fmt::print("{}: already built: {} documents, {} tokens in {} shard(s)\n", output, report.documents, report.tokens,
               report.shards);
  else
    fmt::print("{}: {} documents, {} tokens in {} shard(s), {} bytes{}\n", output, report.documents, report.tokens,
               report.shards, report.bytes,
               report.kept_shards == 0
                   ? ""
                   : fmt::format("; {} shard(s) were there from an earlier start", report.kept_shards));
  return 0;
}

void add_build(CommandLine& line) {
  const auto options = std::make_shared<BuildCommand>();
  CLI::App& app =
      line.add("data build", "Turn text into HDF5 shards; under mpirun the same bytes for any number of ranks",
               "synthesizer data build --input 'data/sample/train-*.json.gz' --tokenizer spiece.model --output shards",
               [options](Session& session) { return run_build(*options, session); });
  app.add_option("--input", options->build.inputs, "Text: .json.gz, .jsonl or .txt, as file names or patterns")
      ->required();
  app.add_option("--tokenizer", options->build.tokenizer, "SentencePiece model")->required();
  app.add_option("--output", options->build.output, "Folder to write; a build that was interrupted is finished")
      ->required();
  app.add_option("--shards", options->build.shards, "Number of shards; 0: one for each 64 Mi tokens")
      ->check(at_least(0))
      ->capture_default_str();
  app.add_flag("--compress", options->build.compress, "Deflate the tokens: smaller files, slower reads");
  app.add_option("--threads", options->build.threads, "Threads a rank; 0: all of the machine's")
      ->check(at_least(0))
      ->capture_default_str();
  add_source_options(app, options->build.source);
  app.add_flag("--json", options->json, "Print the result as a line of JSON");
}

struct InspectCommand {
  std::string path;
  int64_t examples = 0;
  std::string config;
  bool json = false;
};

void print_description(const ShardsDescription& shards, bool json) {
  if (json) {
    Json schema = Json::object();
    for (const auto& [name, text] : shards.schema) schema[name] = text;
    print_json({{"path", shards.path.string()},
                {"shards", shards.shards},
                {"documents", shards.documents},
                {"tokens", shards.tokens},
                {"bytes", shards.bytes},
                {"tokens_per_document", shards.tokens_per_document},
                {"pieces", shards.pieces},
                {"vocab_size", shards.vocab_size},
                {"tokenizer_sha256", shards.tokenizer_sha256},
                {"schema", schema}});
    return;
  }
  fmt::print("{}\n", shards.path.string());
  const auto row = [](std::string_view name, const auto& value) { fmt::print("  {:<20} {}\n", name, value); };
  row("shards", shards.shards);
  row("documents", shards.documents);
  row("tokens", shards.tokens);
  row("tokens a document", fmt::format("{:.1f}", shards.tokens_per_document));
  row("bytes", shards.bytes);
  if (shards.pieces != 0) row("pieces", shards.pieces);
  row("vocab_size", shards.vocab_size);
  row("tokenizer_sha256", shards.tokenizer_sha256);
  for (const auto& [name, text] : shards.schema) row(name, text);
}

int run_inspect(const InspectCommand& options) {
  Session::require_alone("data inspect");
  ObjectiveOptions objective;
  uint64_t seed = 1;
  if (!options.config.empty()) {
    const config::Run run = load_run(options.config, {});
    check_objective(run);
    objective = objective_options(run.data());
    seed = run.seed();
  }
  print_description(inspect_shards(options.path), options.json);
  if (options.examples == 0) return 0;
  int64_t number = 0;
  for (const ExampleText& example : inspect_examples(options.path, objective, seed, options.examples)) {
    if (options.json)
      print_json({{"example", number}, {"inputs", example.inputs}, {"targets", example.targets}});
    else
      fmt::print("\nexample {}\n  inputs:  {}\n  targets: {}\n", number, example.inputs, example.targets);
    ++number;
  }
  return 0;
}

void add_inspect(CommandLine& line) {
  const auto options = std::make_shared<InspectCommand>();
  CLI::App& app = line.add("data inspect", "Show what shards hold, and examples as a model will see them",
                           "synthesizer data inspect shards --examples 3 --config configs/runs/quickstart.txtpb",
                           [options](Session& session) {
                             int code = 0;
                             session.together([&] { code = run_inspect(*options); });
                             return code;
                           });
  app.add_option("path", options->path, "Folder of shards, or one shard (.h5)")->required();
  app.add_option("--examples", options->examples, "Examples to show, in text")
      ->check(at_least(0))
      ->capture_default_str();
  app.add_option("--config", options->config, "Run whose objective, lengths and seed the examples have");
  app.add_flag("--json", options->json, "Print one JSON object a line");
}

void add_verify(CommandLine& line) {
  struct Options {
    std::string folder;
    bool json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App& app = line.add("data verify", "Check every checksum, offset and token; the first bad place is named",
                           "synthesizer data verify shards", [options](Session& session) {
                             Session::require_alone("data verify");
                             VerifyReport report;
                             session.together([&] {
                               StatusLine status(true);
                               report = verify_shards(options->folder, [&](int64_t shard, int64_t shards) {
                                 status.update("verifying", shard, shards, "shards");
                               });
                             });
                             if (options->json)
                               print_json({{"folder", options->folder},
                                           {"shards", report.shards},
                                           {"documents", report.documents},
                                           {"tokens", report.tokens},
                                           {"bytes", report.bytes}});
                             else
                               fmt::print("{}: {} shard(s), {} documents, {} tokens: all good\n", options->folder,
                                          report.shards, report.documents, report.tokens);
                             return 0;
                           });
  app.add_option("folder", options->folder, "Folder of shards")->required();
  app.add_flag("--json", options->json, "Print the result as a line of JSON");
}

}  // namespace

void add_data_command(CommandLine& line) {
  line.add("data", "Text to shards, and what shards hold", "", nullptr);
  add_vocab(line);
  add_build(line);
  add_inspect(line);
  add_verify(line);
}

}  // namespace synthesizer
