#include "tests/launch/workplace.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stdexcept>

namespace synthesizer {
namespace {

constexpr const char* kRun = R"(
model {
  max_length: 40 d_model: 16 d_ff: 32 num_heads: 2 d_head: 8
  encoder { layers: 1 attention: "R+V" }
  decoder { layers: 1 attention: "R+V" }
}
data { shards: "shards" input_length: 32 batch: 4 }
optimizer { kind: ADAMW }
schedule { kind: CONSTANT learning_rate: 0.001 }
steps: 4
eval { batches: 2 }
log { every: 1 }
)";

}  // namespace

Workplace::Workplace() {
  const std::string sample = "text.json.gz";
  std::filesystem::copy_file(SYNTHESIZER_SOURCE_DIR "/data/sample/validation-00000-of-00001.json.gz",
                             folder_.path() / sample);
  folder_.write("run.txtpb", kRun);
  must({"data", "vocab", "--input", sample, "--size", "300", "--output", "spiece.model"});
  must({"data", "build", "--input", sample, "--tokenizer", "spiece.model", "--output", "shards"});
}

std::string Workplace::must(const std::vector<std::string>& arguments, const std::string& input) const {
  const ProgramResult result = run(arguments, input);
  if (result.exit_code != 0)
    throw std::runtime_error(
        fmt::format("synthesizer {}: exit {}: {}", fmt::join(arguments, " "), result.exit_code, result.err));
  return result.out;
}

}  // namespace synthesizer
