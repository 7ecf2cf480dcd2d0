// The safetensors format (github.com/huggingface/safetensors, "Format"): 8 bytes of little-endian header length, a JSON
// header {name: {dtype, shape, data_offsets}, "__metadata__": {string: string}}, then the tensors' bytes, dense,
// little-endian, without gaps. Which tensors a checkpoint has, and who writes which part, is checkpoint_writer's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "core/tensor/dtype.h"

namespace synthesizer {

// Element types in files. kBf16 is read, never written.
enum class StoredType { kF32, kF64, kI32, kI64, kBf16 };

constexpr int64_t size_of(StoredType type) {
  return type == StoredType::kBf16 ? 2 : type == StoredType::kF32 || type == StoredType::kI32 ? 4 : 8;
}

// As the format spells it: "F32", "BF16"….
std::string_view to_string(StoredType type);
StoredType stored_type(DType dtype);

struct StoredTensor {
  std::string name;
  StoredType type = StoredType::kF32;
  std::vector<int64_t> shape;  // empty: a scalar
  int64_t begin = 0;           // of its bytes, counted from the start of the file
  int64_t end = 0;
};

using StringMap = std::map<std::string, std::string>;

// "[512, 8, 64]"
std::string shape_text(const std::vector<int64_t>& shape);

// Where every byte of a file to be written belongs, before any is written: tensors in the order of their names, the
// header padded with spaces so that the data starts at a multiple of 64. The same tensors give the same bytes.
class SafetensorsLayout {
 public:
  SafetensorsLayout() = default;
  // `begin` and `end` of the tensors are filled in here. Throws Error on a name that comes twice or is not UTF-8.
  SafetensorsLayout(std::vector<StoredTensor> tensors, const StringMap& metadata);

  // The file's first bytes, the length included.
  const std::string& header() const { return header_; }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  // Throws Error for a name that is not there.
  const StoredTensor& at(std::string_view name) const;
  int64_t file_bytes() const { return file_bytes_; }

 private:
  std::vector<StoredTensor> tensors_;
  std::string header_;
  int64_t file_bytes_ = 0;
};

// A file opened for reading; its header was found sound: each tensor's bytes are inside, none overlap, none are left
// out, sizes agree. Anything else is a UsageError that names the file and the tensor.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  // In the order of their names.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  const StringMap& metadata() const { return metadata_; }
  // Where the data starts: length and header are the bytes before.
  int64_t data_offset() const { return data_offset_; }
  // nullptr if it is not there.
  const StoredTensor* find(std::string_view name) const;
  // UsageError with the nearest names if it is not there.
  const StoredTensor& at(std::string_view name) const;
  // Elements [begin, begin + count) of a tensor, converted (f64 to f32 rounds to nearest), in pieces.
  void read_elements(const StoredTensor& tensor, int64_t begin, int64_t count, float* out) const;
  void read_elements(const StoredTensor& tensor, int64_t begin, int64_t count, double* out) const;
  // Bytes [offset, offset + bytes) of the file.
  void read(int64_t offset, void* out, int64_t bytes) const { file_.read_at(offset, out, bytes); }

 private:
  File file_;
  std::vector<StoredTensor> tensors_;
  StringMap metadata_;
  int64_t data_offset_ = 0;
};

}  // namespace synthesizer
