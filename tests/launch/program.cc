#include "tests/launch/program.h"

#include <fmt/format.h>
#include <sys/wait.h>

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

ProgramResult run(const std::string& before, const std::vector<std::string>& arguments, const fs::path& where,
                  const std::string& input) {
  const TemporaryFolder folder;
  const std::string in = folder.write("in", input);
  std::string command = fmt::format("cd {} && {} {}", quote(where.string()), before, quote(SYNTHESIZER_PROGRAM));
  for (const std::string& argument : arguments) command += " " + quote(argument);
  command += fmt::format(" <{} >{} 2>{}", quote(in), quote((folder.path() / "out").string()),
                         quote((folder.path() / "err").string()));
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read(folder.path() / "out"), read(folder.path() / "err")};
}

}  // namespace

ProgramResult run_program(const std::vector<std::string>& arguments, const fs::path& where, const std::string& input) {
  return run("OMP_NUM_THREADS=1", arguments, where, input);
}

ProgramResult run_ranks(int ranks, const std::vector<std::string>& arguments, const fs::path& where) {
  const std::string mpirun = fmt::format(
      "OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --quiet --oversubscribe "
      "--bind-to none -n {}",
      ranks);
  return run(mpirun, arguments, where, "");
}

std::map<std::string, std::string> tree(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    if (entry.is_directory())
      files[name + "/"] = "";
    else
      files[name] = read(entry.path());
  }
  return files;
}

}  // namespace synthesizer
