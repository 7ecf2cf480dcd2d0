// The one place where errors end: a line on stderr and an exit code.
#include "launch/command_line.h"
#include "launch/commands.h"
#include "launch/facts.h"
#include "launch/session.h"

int main(int argc, char** argv) {
  using namespace synthesizer;
  Session session(argc, argv);
  try {
    CommandLine line;
    add_data_command(line);
    add_train_command(line);
    add_plan_command(line);
    add_eval_command(line);
    add_generate_command(line);
    add_inspect_command(line);
    add_bench_command(line);
    Action action;
    session.together([&] { action = line.parse(argc, argv); });
    if (Session::launched_size() > 1) session.require_same({{"program", program_identity()}});
    return action(session);
  } catch (...) {
    return session.report(std::current_exception());
  }
}
