// The command line of the program: its commands, their options, and what is said of a line that is not understood.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "launch/session.h"

namespace synthesizer {

// What the chosen command does, once the whole line has been understood; returns the exit code.
using Action = std::function<int(Session&)>;

class CommandLine {
 public:
  CommandLine();

  // Adds the command that `path` names ("data build" below "data"). `example` is a command line that works, for --help.
  // The action runs only when the line ends in this command.
  CLI::App& add(const std::string& path, const std::string& description, const std::string& example, Action action);

  // The action of the line. --help and --version give one that prints. UsageError, with the nearest names, for commands
  // and options that are not known and for values that are not right.
  Action parse(int argc, char** argv);

 private:
  CLI::App app_;
  std::vector<std::pair<CLI::App*, Action>> actions_;
};

// For options that take a whole number: "got 0, expected at least 1".
CLI::Validator at_least(int64_t low);

// "; did you mean --output?" for the first word of `words` that names no command or option; "" if all do.
std::string unknown_word(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace synthesizer
