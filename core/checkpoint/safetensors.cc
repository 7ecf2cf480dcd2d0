#include "core/checkpoint/safetensors.h"

#include <fcntl.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/base/json_depth.h"
#include "core/base/nearest.h"

namespace synthesizer {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian, and so are the tensors written");

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kLargestHeader = 100'000'000;
constexpr int64_t kDataAlignment = 64;

constexpr std::pair<StoredType, std::string_view> kTypeNames[] = {{StoredType::kF32, "F32"},
                                                                  {StoredType::kF64, "F64"},
                                                                  {StoredType::kI32, "I32"},
                                                                  {StoredType::kI64, "I64"},
                                                                  {StoredType::kBf16, "BF16"}};

// Bytes of a tensor, or -1 if the shape is negative somewhere or the product does not fit.
int64_t byte_count(StoredType type, const std::vector<int64_t>& shape) {
  int64_t bytes = size_of(type);
  for (const int64_t size : shape)
    if (size < 0 || __builtin_mul_overflow(bytes, size, &bytes)) return -1;
  return bytes;
}

const StoredTensor* find_by_name(const std::vector<StoredTensor>& tensors, std::string_view name) {
  const auto at = std::lower_bound(tensors.begin(), tensors.end(), name,
                                   [](const StoredTensor& tensor, std::string_view key) { return tensor.name < key; });
  return at != tensors.end() && at->name == name ? &*at : nullptr;
}

void sort_by_name(std::vector<StoredTensor>& tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const StoredTensor& a, const StoredTensor& b) { return a.name < b.name; });
}

// What `header` reads as; a name that comes twice, which the library would pass over, is refused.
nlohmann::json parse_header(const std::string& header, const std::string& file) {
  check_json_depth(header, file);
  std::set<std::string> seen;
  const auto refuse_twins = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    if (depth == 1 && event == nlohmann::json::parse_event_t::key && !seen.insert(parsed.get<std::string>()).second)
      fail_usage("{}: tensor {} comes twice in the header", file, parsed.get<std::string>());
    return true;
  };
  try {
    nlohmann::json json = nlohmann::json::parse(header, refuse_twins);
    if (!json.is_object()) fail_usage("{}: the header is not a JSON object", file);
    return json;
  } catch (const nlohmann::json::exception& error) {
    fail_usage("{}: the header is not JSON; the file is torn or altered ({})", file, error.what());
  }
}

StringMap parse_metadata(const nlohmann::json& json, const std::string& file) {
  StringMap metadata;
  if (!json.is_object()) fail_usage("{}: __metadata__ is not an object of strings", file);
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) fail_usage("{}: __metadata__ {} is not a string", file, key);
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

std::vector<int64_t> parse_integers(const nlohmann::json& json, std::string_view field, const std::string& where) {
  if (!json.contains(field) || !json[field].is_array()) fail_usage("{}: no list {}", where, field);
  std::vector<int64_t> values;
  for (const nlohmann::json& value : json[field]) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > uint64_t{INT64_MAX})
      fail_usage("{}: {} has {}, expected a whole number from 0", where, field, value.dump());
    values.push_back(value.get<int64_t>());
  }
  return values;
}

StoredType parse_type(const nlohmann::json& json, const std::string& where) {
  if (!json.contains("dtype") || !json["dtype"].is_string()) fail_usage("{}: no dtype", where);
  const std::string name = json["dtype"].get<std::string>();
  std::vector<std::string_view> known;
  for (const auto& [type, spelled] : kTypeNames) {
    if (name == spelled) return type;
    known.push_back(spelled);
  }
  fail_usage("{}: unknown dtype {}; known: {}", where, name, fmt::join(known, ", "));
}

// One tensor; its bytes inside the data section of `data_bytes`, which starts at `data_offset` of the file.
StoredTensor parse_tensor(const std::string& name, const nlohmann::json& json, int64_t data_offset, int64_t data_bytes,
                          const std::string& file) {
  const std::string where = fmt::format("{}: tensor {}", file, name);
  if (!json.is_object()) fail_usage("{} is not an object", where);
  StoredTensor tensor{.name = name, .type = parse_type(json, where), .shape = parse_integers(json, "shape", where)};
  const std::vector<int64_t> offsets = parse_integers(json, "data_offsets", where);
  if (offsets.size() != 2 || offsets[0] > offsets[1]) fail_usage("{}: data_offsets are not [begin, end]", where);
  if (offsets[1] > data_bytes)
    fail_usage("{}: its bytes end at {}, but the file's data at {}; the file is torn", where, offsets[1], data_bytes);
  const int64_t expected = byte_count(tensor.type, tensor.shape);
  if (expected != offsets[1] - offsets[0])
    fail_usage("{}: {} bytes, expected {} for {} {}", where, offsets[1] - offsets[0], expected, to_string(tensor.type),
               shape_text(tensor.shape));
  tensor.begin = data_offset + offsets[0];
  tensor.end = data_offset + offsets[1];
  return tensor;
}

// The tensors must fill [data_offset, file_bytes) without overlap or gap.
void check_coverage(std::vector<StoredTensor> tensors, int64_t data_offset, int64_t file_bytes,
                    const std::string& file) {
  std::sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  int64_t end = data_offset;
  for (const StoredTensor& tensor : tensors) {
    if (tensor.begin < end) fail_usage("{}: tensor {} overlaps another", file, tensor.name);
    if (tensor.begin > end) fail_usage("{}: a gap of {} bytes before tensor {}", file, tensor.begin - end, tensor.name);
    end = tensor.end;
  }
  if (end != file_bytes) fail_usage("{}: {} bytes after the last tensor", file, file_bytes - end);
}

// `count` elements of one stored type as floats or doubles.
template <typename To>
void convert(StoredType type, const std::byte* in, int64_t count, To* out) {
  const auto each = [&]<typename From>(From value, auto&& converted) {
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(&value, in + i * static_cast<int64_t>(sizeof(From)), sizeof(From));
      out[i] = static_cast<To>(converted(value));
    }
  };
  const auto itself = [](auto value) { return value; };
  switch (type) {
    case StoredType::kF32:
      return each(float{}, itself);
    case StoredType::kF64:
      return each(double{}, itself);
    case StoredType::kI32:
      return each(int32_t{}, itself);
    case StoredType::kI64:
      return each(int64_t{}, itself);
    case StoredType::kBf16:
      return each(uint16_t{}, [](uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); });
  }
}

template <typename To>
void read_in_pieces(const SafetensorsReader& file, const StoredTensor& tensor, int64_t begin, int64_t count, To* out) {
  constexpr int64_t kPiece = 1 << 16;
  const int64_t width = size_of(tensor.type);
  std::vector<std::byte> raw(static_cast<size_t>(std::min(count, kPiece) * width));
  for (int64_t done = 0; done < count; done += kPiece) {
    const int64_t part = std::min(kPiece, count - done);
    file.read(tensor.begin + (begin + done) * width, raw.data(), part * width);
    convert(tensor.type, raw.data(), part, out + done);
  }
}

}  // namespace

std::string_view to_string(StoredType type) {
  for (const auto& [known, name] : kTypeNames)
    if (known == type) return name;
  fail("unknown stored type {}", static_cast<int>(type));
}

StoredType stored_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return StoredType::kF32;
    case DType::kFloat64:
      return StoredType::kF64;
    case DType::kBFloat16:
      return StoredType::kBf16;
    case DType::kInt32:
      return StoredType::kI32;
    case DType::kInt64:
      return StoredType::kI64;
  }
  fail("no stored type for dtype {}", static_cast<int>(dtype));
}

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

SafetensorsLayout::SafetensorsLayout(std::vector<StoredTensor> tensors, const StringMap& metadata)
    : tensors_(std::move(tensors)) {
  sort_by_name(tensors_);
  nlohmann::json json = nlohmann::json::object();
  if (!metadata.empty()) json["__metadata__"] = metadata;
  int64_t offset = 0;
  for (StoredTensor& tensor : tensors_) {
    CHECK(tensor.type != StoredType::kBf16, "tensor {}: BF16 is not written", tensor.name);
    CHECK(tensor.name != "__metadata__" && !json.contains(tensor.name), "tensor {} comes twice", tensor.name);
    const int64_t bytes = byte_count(tensor.type, tensor.shape);
    CHECK(bytes >= 0, "tensor {}: impossible shape {}", tensor.name, shape_text(tensor.shape));
    tensor.begin = offset;
    tensor.end = offset += bytes;
    json[tensor.name] = {
        {"dtype", to_string(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {tensor.begin, tensor.end}}};
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const nlohmann::json::exception& error) {
    fail("a tensor's name is not UTF-8: {}", error.what());
  }
  const size_t used = kLengthBytes + text.size();
  text.append((kDataAlignment - used % kDataAlignment) % kDataAlignment, ' ');
  CHECK(static_cast<int64_t>(text.size()) <= kLargestHeader, "a header of {} bytes", text.size());
  const uint64_t length = text.size();
  header_.assign(reinterpret_cast<const char*>(&length), sizeof length);
  header_ += text;
  for (StoredTensor& tensor : tensors_) {
    tensor.begin += static_cast<int64_t>(header_.size());
    tensor.end += static_cast<int64_t>(header_.size());
  }
  file_bytes_ = static_cast<int64_t>(header_.size()) + offset;
}

const StoredTensor& SafetensorsLayout::at(std::string_view name) const {
  const StoredTensor* tensor = find_by_name(tensors_, name);
  CHECK(tensor != nullptr, "no tensor {}", name);
  return *tensor;
}

SafetensorsReader::SafetensorsReader(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path)) fail_usage("{}: no such file", path.string());
  file_ = File(path, O_RDONLY);
  const std::string file = path.string();
  const int64_t file_bytes = file_.size();
  if (file_bytes < kLengthBytes)
    fail_usage("{}: {} bytes are too few for a safetensors file; it is torn", file, file_bytes);
  uint64_t length = 0;
  file_.read_at(0, &length, kLengthBytes);
  if (length > uint64_t{kLargestHeader})
    fail_usage("{}: a header of {} bytes, at most {} are allowed; not a safetensors file", file, length,
               kLargestHeader);
  data_offset_ = kLengthBytes + static_cast<int64_t>(length);
  if (data_offset_ > file_bytes)
    fail_usage("{}: the header ends at {}, the file at {}; it is torn", file, data_offset_, file_bytes);
  std::string header(length, '\0');
  file_.read_at(kLengthBytes, header.data(), static_cast<int64_t>(length));
  const nlohmann::json json = parse_header(header, file);
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      metadata_ = parse_metadata(value, file);
    } else {
      tensors_.push_back(parse_tensor(name, value, data_offset_, file_bytes - data_offset_, file));
    }
  }
  check_coverage(tensors_, data_offset_, file_bytes, file);
  sort_by_name(tensors_);
}

void SafetensorsReader::read_elements(const StoredTensor& tensor, int64_t begin, int64_t count, float* out) const {
  read_in_pieces(*this, tensor, begin, count, out);
}

void SafetensorsReader::read_elements(const StoredTensor& tensor, int64_t begin, int64_t count, double* out) const {
  read_in_pieces(*this, tensor, begin, count, out);
}

const StoredTensor* SafetensorsReader::find(std::string_view name) const { return find_by_name(tensors_, name); }

const StoredTensor& SafetensorsReader::at(std::string_view name) const {
  const StoredTensor* tensor = find(name);
  if (tensor != nullptr) return *tensor;
  std::vector<std::string> known;
  for (const StoredTensor& other : tensors_) known.push_back(other.name);
  fail_usage("{}: no tensor {}{}", path().string(), name, nearest_hint(name, known));
}

}  // namespace synthesizer
