#include "tests/launch/program.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string quote(const std::string& word) {
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

// `command` in the folder, with its input and output in files.
ProgramResult run_shell(const std::string& command, const fs::path& where, const std::string& input) {
  const TemporaryFolder folder;
  const std::string in = folder.write("in", input);
  const std::string line =
      fmt::format("cd {} && {} <{} >{} 2>{}", quote(where.string()), command, quote(in),
                  quote((folder.path() / "out").string()), quote((folder.path() / "err").string()));
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read(folder.path() / "out"), read(folder.path() / "err")};
}

std::string command_of(const std::vector<std::string>& arguments, const std::string& program = SYNTHESIZER_PROGRAM) {
  std::string command = quote(program);
  for (const std::string& argument : arguments) command += " " + quote(argument);
  return command;
}

constexpr const char* kMpirun =
    "OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --quiet --oversubscribe "
    "--bind-to none";

}  // namespace

ProgramResult run_program(const std::vector<std::string>& arguments, const fs::path& where, const std::string& input) {
  return run_shell("OMP_NUM_THREADS=1 " + command_of(arguments), where, input);
}

ProgramResult run_as_user(const std::vector<std::string>& arguments, const fs::path& where) {
  const std::string less = ::geteuid() == 0 ? "setpriv --bounding-set -dac_override,-dac_read_search " : "";
  return run_shell("OMP_NUM_THREADS=1 " + less + command_of(arguments), where, "");
}

ProgramResult run_ranks(int ranks, const std::vector<std::string>& arguments, const fs::path& where) {
  return run_shell(fmt::format("{} -n {} {}", kMpirun, ranks, command_of(arguments)), where, "");
}

ProgramResult run_each(const std::vector<std::vector<std::string>>& ranks, const fs::path& where) {
  std::string job;
  for (const std::vector<std::string>& words : ranks)
    job += fmt::format("{} -n 1 {}", job.empty() ? "" : " :",
                       command_of({words.begin() + 1, words.end()}, words[0].empty() ? SYNTHESIZER_PROGRAM : words[0]));
  return run_shell(kMpirun + job, where, "");
}

std::map<std::string, std::string> tree(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    if (entry.is_symlink())
      files[name + " -> "] = fs::read_symlink(entry.path()).string();
    else if (entry.is_directory())
      files[name + "/"] = "";
    else
      files[name] = read(entry.path());
  }
  return files;
}

}  // namespace synthesizer
