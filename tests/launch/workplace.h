// A small run to do right and wrong things with: a vocabulary and shards of the bundled sample, and a tiny model's
// configuration.
#pragma once

#include <string>

#include "tests/launch/program.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {

class Workplace {
 public:
  // Makes text.json.gz (115 documents), spiece.model (300 pieces), shards/ and run.txtpb in a temporary folder by the
  // program's own commands; throws if one fails.
  Workplace();

  const TemporaryFolder& folder() const { return folder_; }
  const std::filesystem::path& path() const { return folder_.path(); }
  ProgramResult run(const std::vector<std::string>& arguments, const std::string& input = "") const {
    return run_program(arguments, path(), input);
  }
  // The same, for what must succeed; returns stdout.
  std::string must(const std::vector<std::string>& arguments, const std::string& input = "") const;

 private:
  TemporaryFolder folder_;
};

}  // namespace synthesizer
