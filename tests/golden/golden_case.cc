#include "tests/golden/golden_case.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "core/attention/table.h"
#include "core/base/error.h"
#include "core/checkpoint/safetensors.h"

namespace synthesizer::golden {
namespace {

using Json = nlohmann::json;

// An object of which every field must be taken.
class Fields {
 public:
  Fields(Json object, std::string where) : object_(std::move(object)), where_(std::move(where)) {}

  template <typename T>
  T take(const std::string& field) {
    if (!object_.contains(field)) fail("{} has no field {}", where_, field);
    const T value = object_.at(field).get<T>();
    object_.erase(field);
    return value;
  }
  void finish() const {
    if (!object_.empty()) fail("{} has an unknown field {}", where_, object_.begin().key());
  }

 private:
  Json object_;
  std::string where_;
};

Mixture parse_mixture(const std::string& text) {
  if (text == "softmax") return Mixture::kSoftmax;
  if (text == "sigmoid") return Mixture::kSigmoid;
  if (text == "sum") return Mixture::kSum;
  fail("unknown mixture {}", text);
}

AttentionConfig parse_attention(const Json& object, const std::string& where) {
  Fields fields(object, where);
  AttentionConfig config;
  config.kind = fields.take<std::string>("kind");
  config.max_length = fields.take<int64_t>("max_length");
  config.factor_rank = fields.take<int64_t>("factor_rank");
  config.factor_a = fields.take<int64_t>("factor_a");
  config.mixture = parse_mixture(fields.take<std::string>("mixture"));
  config.share_across_heads = fields.take<bool>("share_across_heads");
  config.dense_bias = fields.take<bool>("dense_bias");
  config.tie_key_value = fields.take<bool>("tie_key_value");
  config.scale = fields.take<bool>("scale");
  config.bottleneck = fields.take<int64_t>("bottleneck");
  config.filter_width = fields.take<int64_t>("filter_width");
  config.conv_heads = fields.take<int64_t>("conv_heads");
  fields.finish();
  check_attention(config, where);
  return config;
}

void parse_structure(const std::string& text, ModelConfig& config) {
  if (text == "encoder_classifier")
    config.structure = Structure::kEncoderClassifier;
  else if (text == "decoder")
    config.structure = Structure::kDecoder;
  else if (text != "encoder_decoder")
    fail("unknown structure {}", text);
}

void parse_feed_forward(const std::string& text, ModelConfig& config) {
  if (text != "relu" && text != "gated_gelu") fail("unknown ffn {}", text);
  config.gated_gelu = text == "gated_gelu";
}

void parse_config(const std::string& json, Case& golden) {
  Fields fields(Json::parse(json), golden.name);
  ModelConfig& config = golden.config;
  config.vocab = fields.take<int64_t>("vocab");
  config.d_model = fields.take<int64_t>("d_model");
  config.d_ff = fields.take<int64_t>("d_ff");
  config.num_heads = fields.take<int64_t>("num_heads");
  config.d_head = fields.take<int64_t>("d_head");
  config.encoder_layers = fields.take<int64_t>("encoder_layers");
  config.decoder_layers = fields.take<int64_t>("decoder_layers");
  parse_structure(fields.take<std::string>("structure"), config);
  config.encoder = parse_attention(fields.take<Json>("encoder_attention"), "encoder_attention");
  config.decoder = parse_attention(fields.take<Json>("decoder_attention"), "decoder_attention");
  config.relative_bias = fields.take<bool>("relative_bias");
  config.num_buckets = fields.take<int64_t>("num_buckets");
  config.max_distance = fields.take<int64_t>("max_distance");
  parse_feed_forward(fields.take<std::string>("ffn"), config);
  config.tie_output = fields.take<bool>("tie_output");
  config.universal = fields.take<bool>("universal");
  config.num_classes = fields.take<int64_t>("num_classes");
  config.norm_eps = fields.take<double>("norm_eps");
  fields.finish();
}

template <typename T>
std::vector<double> read_values(const SafetensorsReader& file, const StoredTensor& tensor) {
  std::vector<T> raw(static_cast<size_t>((tensor.end - tensor.begin) / static_cast<int64_t>(sizeof(T))));
  file.read(tensor.begin, raw.data(), tensor.end - tensor.begin);
  return {raw.begin(), raw.end()};
}

Array read_array(const SafetensorsReader& file, const StoredTensor& tensor) {
  if (tensor.type == StoredType::kF64) return {tensor.shape, read_values<double>(file, tensor)};
  if (tensor.type == StoredType::kI64) return {tensor.shape, read_values<int64_t>(file, tensor)};
  fail("{} of {} is {}, expected F64 or I64", tensor.name, file.path().string(), to_string(tensor.type));
}

Case load_case(const std::filesystem::path& path) {
  const SafetensorsReader file(path);
  Case golden;
  golden.name = path.stem().string();
  for (const auto& [key, value] : file.metadata()) {
    if (key == "config")
      parse_config(value, golden);
    else if (key == "z_loss")
      golden.loss.z_loss = std::stod(value);
    else if (key == "label_smoothing")
      golden.loss.label_smoothing = std::stod(value);
    else if (key != "format")
      fail("{} has unknown metadata {}", golden.name, key);
  }
  if (golden.config.vocab == 0) fail("{} has no configuration", golden.name);
  check_model(golden.config);
  for (const StoredTensor& tensor : file.tensors()) golden.tensors[tensor.name] = read_array(file, tensor);
  return golden;
}

}  // namespace

const Array& Case::at(const std::string& tensor) const {
  const auto found = tensors.find(tensor);
  if (found == tensors.end()) fail("case {} has no tensor {}", name, tensor);
  return found->second;
}

std::filesystem::path folder() {
  const char* given = std::getenv("SYNTHESIZER_GOLDEN_DIR");
  return given != nullptr ? std::filesystem::path(given) : std::filesystem::path(GOLDEN_SOURCE_DIR);
}

std::vector<Case> load_cases(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  if (files.empty()) fail("no golden case in {}", folder.string());
  std::sort(files.begin(), files.end());
  std::vector<Case> cases;
  for (const auto& file : files) {
    try {
      cases.push_back(load_case(file));
    } catch (const std::exception& error) {
      fail("golden case {}: {}", file.string(), error.what());
    }
  }
  return cases;
}

}  // namespace synthesizer::golden
