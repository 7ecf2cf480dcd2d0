// A configuration file's text, up to the first NUL, and after it assignments as --set has them, one a line: parsed,
// completed, checked whole (but for the files it names) and converted.
#include "launch/config/check.h"
#include "launch/config/convert.h"
#include "launch/config/fields.h"
#include "launch/config/load.h"
#include "launch/config/text.h"
#include "tests/fuzz/fuzz.h"

using namespace synthesizer;

namespace {

void set_fields(config::Run& run, std::string_view lines) {
  while (!lines.empty()) {
    const size_t end = std::min(lines.find('\n'), lines.size());
    set_field(run, lines.substr(0, end));
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
}

void convert(const config::Run& run) {
  model_config(run, Vocabulary{.pieces = 100});
  objective_options(run.data());
  optimizer_config(run);
  schedule_config(run);
  loss_config(run);
  run_dtype(run);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input = fuzz::text_of(data, size);
  const size_t nul = std::min(input.find('\0'), size);
  fuzz::accepts([&] {
    config::Run run = parse_run(input.substr(0, nul), "fuzzed.txtpb");
    set_fields(run, input.substr(std::min(nul + 1, size)));
    complete_run(run);
    // What --show prints is the configuration.
    const config::Run again = parse_run(run_text(run), "again.txtpb");
    fuzz::hold(run_text(again) == run_text(run), "a configuration's text reads back as it was");
    check_names(run);
    check_values(run, 1);
    convert(run);
  });
  return 0;
}
