// Runs the real program, as a user or a script does, and looks at what it leaves behind.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace synthesizer {

struct ProgramResult {
  int exit_code = -1;
  std::string out;
  std::string err;
};

// `synthesizer ARGUMENTS`, in the folder `where`, `input` on stdin. OpenMP has one thread.
ProgramResult run_program(const std::vector<std::string>& arguments, const std::filesystem::path& where,
                          const std::string& input = "");

// The same without root's right to read and write what permissions forbid, where the test runs as root.
ProgramResult run_as_user(const std::vector<std::string>& arguments, const std::filesystem::path& where);

// The same under `mpirun -n RANKS`.
ProgramResult run_ranks(int ranks, const std::vector<std::string>& arguments, const std::filesystem::path& where);

// One rank for each command line, all of one job: {program, argument…}. "" stands for the program.
ProgramResult run_each(const std::vector<std::vector<std::string>>& ranks, const std::filesystem::path& where);

// Every file below a folder with its bytes; folders end in "/".
std::map<std::string, std::string> tree(const std::filesystem::path& folder);

}  // namespace synthesizer
