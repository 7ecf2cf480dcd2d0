#include "launch/config/load.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "data/span_noise.h"
#include "launch/config/fields.h"
#include "launch/config/text.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

constexpr int kMostFiles = 100;

// "; did you mean …?" among the configurations of the folder, or nothing.
std::string nearest_files(const fs::path& file) {
  std::vector<std::string> names;
  std::error_code error;
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".txtpb") names.push_back(entry.path().filename().string());
  std::vector<std::string> near = nearest_names(file.filename().string(), names);
  if (near.empty()) return "";
  for (std::string& name : near) name = (file.parent_path() / name).string();
  return fmt::format("; did you mean {}?", fmt::join(near, ", "));
}

std::string read_text(const fs::path& file) {
  std::error_code error;
  if (!fs::exists(file, error)) fail_usage("{}: no such configuration file{}", file.string(), nearest_files(file));
  if (fs::is_directory(file, error)) {
    const fs::path inside = file / "config.txtpb";  // of a run's folder
    fail_usage("{}: a folder, expected a configuration file{}", file.string(),
               fs::exists(inside, error) ? fmt::format("; did you mean {}?", inside.string()) : "");
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) fail_usage("{}: cannot be read: {}", file.string(), std::strerror(errno));
  std::string text(kLargestConfiguration + 1, '\0');  // one byte more is too many, which parse_run says
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) fail_usage("{}: cannot be read: {}", file.string(), std::strerror(errno));
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

// Lays `over` on `run`: as protobuf's merge, but a list that is given replaces the one below instead of adding to it.
void overlay(Message& run, const Message& over) {
  const auto& reflection = *over.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(over, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->is_repeated()) {
      run.GetReflection()->ClearField(&run, field);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      overlay(*run.GetReflection()->MutableMessage(&run, field), reflection.GetMessage(over, field));
    }
  }
  run.MergeFrom(over);
}

// `including`: the files that lead here. `read`: all that were read so far; two bases that each name the next file
// twice would double the work with every file.
config::Run compose(const fs::path& file, std::vector<fs::path>& including, int& read) {
  if (++read > kMostFiles)
    fail_usage("{}: got more than {} base files, each time one is named", including.front().string(), kMostFiles);
  const fs::path self = fs::weakly_canonical(file);
  for (const fs::path& outer : including)
    if (outer == self)
      fail_usage("{}: base files include each other in a circle, through {}", including.front().string(),
                 file.string());
  including.push_back(self);
  config::Run own = parse_run(read_text(file), file.string());
  config::Run run;
  for (const std::string& base : own.base()) {
    if (base.empty()) fail_usage("{}: base: got an empty name, expected a configuration file", file.string());
    overlay(run, compose(file.parent_path() / base, including, read));
  }
  own.clear_base();
  overlay(run, own);
  including.pop_back();
  return run;
}

// The targets of an example of these inputs; 0 where the inputs' own fields are out of range, which check.h complains
// of.
int32_t natural_target_length(const config::Data& data, const config::Model& model) {
  if (model.structure() == config::Model::ENCODER_CLASSIFIER) return 0;
  if (data.objective() == config::Data::CAUSAL) return model.max_length();
  const bool possible = data.input_length() >= 3 && data.input_length() <= model.max_length() &&
                        data.noise_density() > 0 && data.noise_density() < 1 && data.mean_span_length() >= 1;
  if (!possible) return 0;
  return static_cast<int32_t>(
      span_noise_sizes_for_inputs(data.input_length(), data.noise_density(), data.mean_span_length()).target_length());
}

}  // namespace

void complete_run(config::Run& run) {
  config::Schedule& schedule = *run.mutable_schedule();
  if (schedule.kind() == config::Schedule::RSQRT) {  // T5: 0.01 for 10,000 steps
    if (!schedule.has_learning_rate()) schedule.set_learning_rate(1);
    if (!schedule.has_warmup()) schedule.set_warmup(10000);
  }
  config::Data& data = *run.mutable_data();
  if (!data.has_input_length())
    data.set_input_length(
        data.objective() == config::Data::CAUSAL ? 0 : std::min(data.input_length(), run.model().max_length()));
  fill_defaults(run);

  config::Model& model = *run.mutable_model();
  const bool whole_heads = model.num_heads() > 0 && model.d_model() % model.num_heads() == 0;
  if (model.d_head() == 0 && whole_heads) model.set_d_head(model.d_model() / model.num_heads());
  if (data.target_length() == 0) data.set_target_length(natural_target_length(data, model));
}

config::Run load_run(const fs::path& file, const std::vector<std::string>& assignments) {
  std::vector<fs::path> including;
  int read = 0;
  config::Run run = compose(file, including, read);
  for (const std::string& assignment : assignments) set_field(run, assignment);
  complete_run(run);
  return run;
}

}  // namespace synthesizer
