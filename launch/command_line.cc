// Source: CLI11 parses; its errors say that something was not expected, not what was probably meant, which is found
// here.
#include "launch/command_line.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "launch/gpu/gpu.h"

namespace synthesizer {
namespace {

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

// "synthesizer data build"
std::string full_name(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name() : full_name(*app.get_parent()) + " " + app.get_name();
}

// One line, as messages are: CLI11 puts some of its own on several. And in the words of the others.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  constexpr std::string_view kConversion = "Could not convert: ", kEquals = " = ";
  if (const size_t equals = text.find(kEquals); text.starts_with(kConversion) && equals != std::string::npos)
    return fmt::format("{}: got '{}', expected a whole number",
                       text.substr(kConversion.size(), equals - kConversion.size()),
                       text.substr(equals + kEquals.size()));
  if (const size_t required = text.find(": 1 required "); required != std::string::npos && text.ends_with(" missing"))
    return text.substr(0, required) + ": no value, expected one";
  return text;
}

}  // namespace

CLI::Validator at_least(int64_t low) {
  return CLI::Validator(
      [low](std::string& text) -> std::string {
        int64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc() || end != text.data() + text.size())
          return fmt::format("got '{}', expected a whole number", text);
        return value >= low ? "" : fmt::format("got {}, expected at least {}", value, low);
      },
      "");
}

std::string unknown_word(const CLI::App& root, const std::vector<std::string>& words) {
  const CLI::App* app = &root;
  for (const std::string& word : words) {
    if (word == "--") break;
    if (word.starts_with("--")) {
      const std::string name = word.substr(0, word.find('='));
      const std::vector<std::string> known = option_names(*app);
      if (std::find(known.begin(), known.end(), name) == known.end())
        return fmt::format("{}: unknown option '{}'{}", full_name(*app), name, nearest_hint(name, known));
    } else if (const std::vector<std::string> commands = command_names(*app);
               !commands.empty() && !word.starts_with("-")) {
      if (std::find(commands.begin(), commands.end(), word) == commands.end())
        return fmt::format("{}: unknown command '{}'{}", full_name(*app), word, nearest_hint(word, commands));
      app = app->get_subcommand(word);
    }
  }
  return "";
}

CommandLine::CommandLine()
    : app_("Trains Synthesizer and Transformer models, on one core or a cluster.", "synthesizer") {
  app_.set_version_flag(
      "--version", [] { return "synthesizer " SYNTHESIZER_VERSION "\n" + gpu_versions(); }, "Print the version");
  app_.set_help_flag("-h,--help", "Print this and exit");
  app_.require_subcommand(1);
  app_.footer(
      "Results go to stdout, progress and errors to stderr. Exit code: 0 done; 2 wrong usage, configuration or input; "
      "1 failed;\n"
      "75 stopped by a signal after saving a checkpoint (run the same command again).");
}

CLI::App& CommandLine::add(const std::string& path, const std::string& description, const std::string& example,
                           Action action) {
  CLI::App* parent = &app_;
  const size_t space = path.find(' ');
  if (space != std::string::npos) parent = parent->get_subcommand(path.substr(0, space));
  CLI::App* command = parent->add_subcommand(path.substr(space == std::string::npos ? 0 : space + 1), description);
  if (!example.empty()) command->footer("Example:\n  " + example);
  if (action)
    actions_.emplace_back(command, std::move(action));
  else
    command->require_subcommand(1);
  return *command;
}

Action CommandLine::parse(int argc, char** argv) {
  try {
    app_.parse(argc, argv);
  } catch (const CLI::Success&) {
    // --help or --version: CLI11 knows which, and of which command.
    const auto failure = std::current_exception();
    return [this, failure](Session&) {
      try {
        std::rethrow_exception(failure);
      } catch (const CLI::Success& success) {
        if (Session::launched_rank() == 0) app_.exit(success);
      }
      return 0;
    };
  } catch (const CLI::ParseError& error) {
    const std::string unknown = unknown_word(app_, std::vector<std::string>(argv + 1, argv + argc));
    if (!unknown.empty()) fail_usage("{}", unknown);
    const CLI::App* app = &app_;
    while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
    if (const std::vector<std::string> commands = command_names(*app); !commands.empty())
      fail_usage("{}: no command, expected one of {}", full_name(*app), fmt::join(commands, ", "));
    fail_usage("{}: {}. See {} --help", full_name(*app), one_line(error.what()), full_name(*app));
  }
  for (const auto& [command, action] : actions_) {
    if (!command->parsed()) continue;
    for (const CLI::Option* option : command->get_options())
      for (const std::string& value : option->results())
        if (value.empty())
          fail_usage("{}: {}: got an empty text, expected a value. See {} --help", full_name(*command),
                     option->get_name(), full_name(*command));
    return action;
  }
  fail("the command line was parsed, but no command has an action for it");
}

}  // namespace synthesizer
