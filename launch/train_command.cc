// `synthesizer train --show`: the whole effective configuration.
#include <fmt/format.h>

#include <memory>

#include "launch/commands.h"
#include "launch/config/load.h"
#include "launch/config/text.h"

namespace synthesizer {

void add_train_command(CommandLine& line) {
  struct Options {
    std::string config;
    std::vector<std::string> set;
    bool show = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App& app = line.add("train", "Print the whole effective configuration of a run",
                           "synthesizer train configs/runs/quickstart.txtpb --show", [options](Session&) {
                             fmt::print("{}", run_text(load_run(options->config, options->set)));
                             return 0;
                           });
  app.add_option("config", options->config, "Configuration of the run")->required();
  app.add_option("--set", options->set, "Override a field: field.path=value")->take_all();
  app.add_flag("--show", options->show, "Print the whole effective configuration and stop")->required();
}

}  // namespace synthesizer
