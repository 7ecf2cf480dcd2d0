#include "data/shard_reader.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <initializer_list>
#include <memory>

#include "core/base/error.h"
#include "data/utf8.h"

namespace synthesizer {
namespace {

Hdf5Handle open_file(const std::filesystem::path& path) {
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG);
  H5Pset_file_locking(access.get(), false, true);  // shards never change; many readers, file systems without locks
  Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  if (!file.valid()) {
    if (!std::filesystem::exists(path)) fail_usage("shard {} is missing", path.string());
    fail_usage("shard {} is altered or no HDF5 file: {}", path.string(), hdf5_error());
  }
  return file;
}

// "/tokens", "/documents": what the root group links to.
std::vector<std::string> member_names(const Hdf5Handle& file) {
  std::vector<std::string> names;
  const auto take = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->push_back(std::string("/") + name);
    return 0;
  };
  hsize_t at = 0;
  H5Literate(file.get(), H5_INDEX_NAME, H5_ITER_INC, &at, take, &names);
  return names;
}

std::vector<std::string> attribute_names(const Hdf5Handle& file) {
  std::vector<std::string> names;
  const auto take = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->push_back(name);
    return 0;
  };
  hsize_t at = 0;
  H5Aiterate2(file.get(), H5_INDEX_NAME, H5_ITER_INC, &at, take, &names);
  return names;
}

Hdf5Handle open_attribute(const Hdf5Handle& file, const char* name, H5T_class_t kind,
                          const std::filesystem::path& path) {
  Hdf5Handle attribute(H5Aopen(file.get(), name, H5P_DEFAULT), H5Aclose);
  if (!attribute.valid()) fail_usage("shard {} is altered or no shard: it has no attribute {}", path.string(), name);
  const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
  const Hdf5Handle space(H5Aget_space(attribute.get()), H5Sclose);
  if (H5Tget_class(type.get()) != kind || H5Sget_simple_extent_npoints(space.get()) != 1) {
    fail_usage("shard {}: attribute {} is of another type", path.string(), name);
  }
  return attribute;
}

int64_t read_integer(const Hdf5Handle& file, const char* name, const std::filesystem::path& path) {
  const Hdf5Handle attribute = open_attribute(file, name, H5T_INTEGER, path);
  int64_t value = 0;
  if (H5Aread(attribute.get(), H5T_NATIVE_INT64, &value) < 0) {
    fail_usage("shard {}: could not read attribute {}: {}", path.string(), name, hdf5_error());
  }
  return value;
}

std::string read_string(const Hdf5Handle& file, const char* name, const std::filesystem::path& path) {
  const Hdf5Handle attribute = open_attribute(file, name, H5T_STRING, path);
  const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
  char* text = nullptr;
  if (H5Tis_variable_str(type.get()) <= 0 || H5Aread(attribute.get(), type.get(), &text) < 0 || text == nullptr) {
    fail_usage("shard {}: could not read attribute {}", path.string(), name);
  }
  const std::unique_ptr<char, herr_t (*)(void*)> owner(text, H5free_memory);
  // Strings lie in the one part of the file that has no checksum of its own; messages show them.
  const std::string_view view(text);
  if (find_invalid_utf8(view) || std::any_of(view.begin(), view.end(), [](char c) { return c >= 0 && c < ' '; })) {
    fail_usage("altered shard {}: attribute {} is no text", path.string(), name);
  }
  return text;
}

// "little-endian uint16"
std::string type_text(const Hdf5Handle& type) {
  const size_t bits = 8 * H5Tget_size(type.get());
  const char* order = H5Tget_order(type.get()) == H5T_ORDER_BE ? "big" : "little";
  switch (H5Tget_class(type.get())) {
    case H5T_INTEGER:
      return fmt::format("{}-endian {}int{}", order, H5Tget_sign(type.get()) == H5T_SGN_NONE ? "u" : "", bits);
    case H5T_FLOAT:
      return fmt::format("{}-endian float{}", order, bits);
    default:
      return "values that are no numbers";
  }
}

// What is neither of the format nor harmless: a file with more in it was not written by `data build`.
void check_members(const Hdf5Handle& file, const std::filesystem::path& path) {
  const auto refuse_stranger = [&](std::string_view kind, const std::string& name,
                                   std::initializer_list<std::string_view> known) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      fail_usage("shard {}: {} {} is not of the format, expected only {}. Build it again", path.string(), kind, name,
                 fmt::join(known, ", "));
  };
  for (const std::string& name : member_names(file)) refuse_stranger("member", name, {kTokensName, kDocumentsName});
  for (const std::string& name : attribute_names(file))
    refuse_stranger("attribute", name, {"format", "version", "vocab_size", "eos_id", "tokenizer_sha256", "source"});
}

// A 1-D chunked data set of unsigned integers.
Hdf5Handle open_set(const Hdf5Handle& file, const char* name, int64_t bytes, int64_t cache_bytes, int64_t& count,
                    int64_t& chunk, const std::filesystem::path& path) {
  const Hdf5Handle access(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose);
  const int64_t cached = std::max(cache_bytes, kShardChunkBytes);
  H5Pset_chunk_cache(access.get(), static_cast<size_t>(16 * (cached / kShardChunkBytes) + 1),
                     static_cast<size_t>(cached), 1.0);
  Hdf5Handle set(H5Dopen2(file.get(), name, access.get()), H5Dclose);
  if (!set.valid()) fail_usage("shard {} is altered or no shard: it has no data set {}", path.string(), name);
  const Hdf5Handle type(H5Dget_type(set.get()), H5Tclose);
  const Hdf5Handle space(H5Dget_space(set.get()), H5Sclose);
  const Hdf5Handle creation(H5Dget_create_plist(set.get()), H5Pclose);
  const std::string expected = fmt::format("little-endian uint{}", 8 * bytes);
  if (const std::string got = type_text(type); got != expected)
    fail_usage("shard {}: {} is a data set of {}, expected {}. Build it again", path.string(), name, got, expected);
  hsize_t chunk_dim = 0;
  if (H5Sget_simple_extent_ndims(space.get()) != 1 || H5Pget_layout(creation.get()) != H5D_CHUNKED ||
      H5Pget_chunk(creation.get(), 1, &chunk_dim) != 1) {
    fail_usage("shard {}: {} is no chunked data set of one dimension. Build it again", path.string(), name);
  }
  // Readers take memory by the chunk.
  if (chunk_dim != static_cast<hsize_t>(kShardChunkBytes / bytes)) {
    fail_usage("shard {}: {} has chunks of {} elements, expected {}", path.string(), name, chunk_dim,
               kShardChunkBytes / bytes);
  }
  count = H5Sget_simple_extent_npoints(space.get());
  chunk = static_cast<int64_t>(chunk_dim);
  return set;
}

std::string describe_set(const Hdf5Handle& set) {
  const Hdf5Handle type(H5Dget_type(set.get()), H5Tclose);
  const Hdf5Handle space(H5Dget_space(set.get()), H5Sclose);
  const Hdf5Handle creation(H5Dget_create_plist(set.get()), H5Pclose);
  hsize_t chunk = 0;
  H5Pget_chunk(creation.get(), 1, &chunk);
  std::string text = fmt::format("uint{}, {} elements, chunks of {}", 8 * H5Tget_size(type.get()),
                                 H5Sget_simple_extent_npoints(space.get()), chunk);
  const int filters = H5Pget_nfilters(creation.get());
  for (int i = 0; i < filters; ++i) {
    unsigned flags = 0;
    size_t values = 0;
    char name[64] = "";
    H5Pget_filter2(creation.get(), static_cast<unsigned>(i), &flags, &values, nullptr, sizeof(name), name, nullptr);
    text += fmt::format(", {}", name);
  }
  return text;
}

// What HDF5 says is wrong; empty where all is well.
std::string read_elements(const Hdf5Handle& set, hid_t memory_type, int64_t begin, int64_t count, void* out) {
  const hsize_t start = static_cast<hsize_t>(begin);
  const hsize_t size = static_cast<hsize_t>(count);
  const Hdf5Handle memory(H5Screate_simple(1, &size, nullptr), H5Sclose);
  const Hdf5Handle space(H5Dget_space(set.get()), H5Sclose);
  const bool read = H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &start, nullptr, &size, nullptr) >= 0 &&
                    H5Dread(set.get(), memory_type, memory.get(), space.get(), H5P_DEFAULT, out) >= 0;
  return read ? "" : hdf5_error();  // before the handles close: any other call forgets it
}

// Reads again chunk by chunk to name the first that fails.
[[noreturn]] void fail_read(const std::filesystem::path& path, const Hdf5Handle& set, const char* name, int64_t begin,
                            int64_t count, int64_t chunk, const std::string& reason) {
  for (int64_t at = begin / chunk * chunk; at < begin + count; at += chunk) {
    uint64_t element = 0;
    const std::string error = read_elements(set, H5T_NATIVE_UINT64, std::max(at, begin), 1, &element);
    if (!error.empty()) {
      fail_usage("altered shard {}: {} chunk {} (elements {} to {}): {}", path.string(), name, at / chunk, at,
                 at + chunk - 1, error);
    }
  }
  fail_usage("altered shard {}: {} elements {} to {}: {}", path.string(), name, begin, begin + count - 1, reason);
}

}  // namespace

ShardReader::ShardReader(const std::filesystem::path& path, int64_t cache_bytes) : path_(path) {
  const Hdf5Quiet quiet;
  file_ = open_file(path);
  if (read_string(file_, "format", path) != kShardFormat) {
    fail_usage("{} is no shard: its format is \"{}\", expected \"{}\"", path.string(),
               read_string(file_, "format", path), kShardFormat);
  }
  if (const int64_t version = read_integer(file_, "version", path); version != kShardVersion) {
    fail_usage("shard {}: got version {}, this program reads version {}. Build it again", path.string(), version,
               kShardVersion);
  }
  attributes_ = {.vocab_size = read_integer(file_, "vocab_size", path),
                 .eos_id = read_integer(file_, "eos_id", path),
                 .tokenizer_sha256 = read_string(file_, "tokenizer_sha256", path),
                 .source = read_string(file_, "source", path)};
  tokens_set_ =
      open_set(file_, kTokensName, token_bytes(attributes_.vocab_size), cache_bytes, tokens_, chunk_tokens_, path);
  documents_set_ =
      open_set(file_, kDocumentsName, sizeof(uint64_t), kShardChunkBytes, documents_, chunk_offsets_, path);
  if (--documents_ < 0) fail_usage("altered shard {}: {} is empty", path.string(), kDocumentsName);
  check_members(file_, path);
}

int64_t ShardReader::head_bytes() const {
  const Hdf5Quiet quiet;
  haddr_t first = HADDR_UNDEF;
  for (const Hdf5Handle* set : {&tokens_set_, &documents_set_}) {
    const hsize_t start = 0;
    unsigned filters = 0;
    haddr_t address = HADDR_UNDEF;
    hsize_t bytes = 0;
    if (H5Dget_chunk_info_by_coord(set->get(), &start, &filters, &address, &bytes) >= 0)
      first = std::min(first, address);
  }
  CHECK(first != HADDR_UNDEF, "{} has no chunk", path_.string());
  return static_cast<int64_t>(first);
}

std::vector<std::pair<std::string, std::string>> ShardReader::describe() const {
  return {{kTokensName, describe_set(tokens_set_)},
          {kDocumentsName, describe_set(documents_set_)},
          {"format", kShardFormat},
          {"version", fmt::format("{}", kShardVersion)},
          {"vocab_size", fmt::format("{}", attributes_.vocab_size)},
          {"eos_id", fmt::format("{}", attributes_.eos_id)},
          {"tokenizer_sha256", attributes_.tokenizer_sha256},
          {"source", attributes_.source}};
}

void ShardReader::read_tokens(int64_t begin, std::span<int32_t> out) {
  const auto count = static_cast<int64_t>(out.size());
  CHECK(begin >= 0 && begin + count <= tokens_, "{}: tokens {} to {} of {}", path_.string(), begin, begin + count,
        tokens_);
  if (count == 0) return;
  const Hdf5Quiet quiet;
  // HDF5 widens in place, in the caller's memory.
  if (const auto error = read_elements(tokens_set_, H5T_NATIVE_INT32, begin, count, out.data()); !error.empty()) {
    fail_read(path_, tokens_set_, kTokensName, begin, count, chunk_tokens_, error);
  }
  for (int64_t i = 0; i < count; ++i) {
    const int32_t token = out[static_cast<size_t>(i)];
    if (token < 0 || token >= attributes_.vocab_size) {
      fail_usage("altered shard {}: token {} of {} is {}, expected below vocab_size {}", path_.string(), begin + i,
                 kTokensName, token, attributes_.vocab_size);
    }
  }
}

void ShardReader::read_offsets(int64_t begin, std::span<uint64_t> out) {
  const auto count = static_cast<int64_t>(out.size());
  CHECK(begin >= 0 && begin + count <= documents_ + 1, "{}: offsets {} to {} of {}", path_.string(), begin,
        begin + count, documents_ + 1);
  if (count == 0) return;
  const Hdf5Quiet quiet;
  if (const auto error = read_elements(documents_set_, H5T_NATIVE_UINT64, begin, count, out.data()); !error.empty()) {
    fail_read(path_, documents_set_, kDocumentsName, begin, count, chunk_offsets_, error);
  }
}

}  // namespace synthesizer
