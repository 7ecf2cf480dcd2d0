#include "tests/launch/wrong/forged_shard.h"

#include <algorithm>

#include "data/hdf5_handle.h"
#include "data/manifest.h"
#include "data/shard_format.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

void must(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string("HDF5 could not ") + what);
}

void add_attribute(hid_t file, const char* name, hid_t type, const void* value) {
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle attribute(H5Acreate2(file, name, type, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  must(attribute.valid() && H5Awrite(attribute.get(), type, value) >= 0, "write an attribute");
}

void add_text(hid_t file, const char* name, const char* value) {
  const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), H5T_VARIABLE);
  add_attribute(file, name, type.get(), &value);
}

void add_set(hid_t file, const char* name, hid_t type, hid_t memory_type, const void* data, hsize_t count,
             bool chunked) {
  const hsize_t unlimited = H5S_UNLIMITED, chunk = static_cast<hsize_t>(kShardChunkBytes) / H5Tget_size(type);
  const Hdf5Handle space(H5Screate_simple(1, &count, chunked ? &unlimited : nullptr), H5Sclose);
  const Hdf5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  if (chunked) H5Pset_chunk(creation.get(), 1, &chunk);
  const Hdf5Handle set(H5Dcreate2(file, name, type, space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT), H5Dclose);
  must(set.valid() && H5Dwrite(set.get(), memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0, "write a data set");
}

}  // namespace

Preparation forge(const std::string& file, const ForgedShard& shard) {
  return [=](const fs::path& place) {
    const fs::path folder = (place / file).parent_path();
    fs::create_directories(folder);
    const std::string sha256 =
        fs::exists(folder / kManifestFile) ? read_manifest(folder).tokenizer_sha256 : std::string(64, 'a');
    const Hdf5Handle made(H5Fcreate((place / file).c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
    must(made.valid(), "create a file");
    const auto has = [&](const char* name) { return shard.missing != name; };
    const hid_t id = made.get();
    const int64_t eos = 1;
    if (has("format")) add_text(id, "format", shard.format.c_str());
    if (has("version")) add_attribute(id, "version", H5T_NATIVE_INT64, &shard.version);
    if (has("vocab_size")) add_attribute(id, "vocab_size", H5T_NATIVE_INT64, &shard.vocab_size);
    if (has("eos_id")) add_attribute(id, "eos_id", H5T_NATIVE_INT64, &eos);
    if (has("tokenizer_sha256")) add_text(id, "tokenizer_sha256", sha256.c_str());
    if (has("source")) add_text(id, "source", "by hand");
    if (has("/tokens"))
      add_set(id, "/tokens", shard.tokens_type, H5T_NATIVE_INT32, shard.tokens.data(), shard.tokens.size(),
              shard.chunked);
    if (shard.linked)
      must(H5Lcreate_hard(id, "/tokens", id, "/documents", H5P_DEFAULT, H5P_DEFAULT) >= 0, "link");
    else if (has("/documents"))
      add_set(id, "/documents", shard.offsets_type, H5T_NATIVE_UINT64, shard.offsets.data(), shard.offsets.size(),
              shard.chunked);
    if (shard.stranger.starts_with('@'))
      add_attribute(id, shard.stranger.c_str() + 1, H5T_NATIVE_INT64, &eos);
    else if (!shard.stranger.empty())
      add_set(id, shard.stranger.c_str(), H5T_STD_U16LE, H5T_NATIVE_INT32, shard.tokens.data(), shard.tokens.size(),
              true);
  };
}

Preparation set_tokens(const std::string& file, int64_t at, const std::vector<int32_t>& tokens) {
  return [=](const fs::path& place) {
    const Hdf5Handle opened(H5Fopen((place / file).c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
    const Hdf5Handle set(H5Dopen2(opened.get(), "/tokens", H5P_DEFAULT), H5Dclose);
    const Hdf5Handle space(H5Dget_space(set.get()), H5Sclose);
    const auto start = static_cast<hsize_t>(at);
    const hsize_t count = tokens.size();
    const Hdf5Handle memory(H5Screate_simple(1, &count, nullptr), H5Sclose);
    H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &start, nullptr, &count, nullptr);
    must(H5Dwrite(set.get(), H5T_NATIVE_INT32, memory.get(), space.get(), H5P_DEFAULT, tokens.data()) >= 0,
         "write tokens");
  };
}

Preparation admit(const std::string& folder) {
  return [=](const fs::path& place) {
    Manifest manifest = read_manifest(place / folder);
    for (ShardRecord& shard : manifest.shards) {
      const fs::path file = place / folder / shard.file;
      shard.bytes = static_cast<int64_t>(fs::file_size(file));
      shard.head_bytes = std::min(shard.head_bytes, shard.bytes);
      shard.head_xxh3 = xxh3_of_file(file, shard.head_bytes);
      shard.xxh3 = xxh3_of_file(file);
    }
    write_manifest(place / folder, manifest);
  };
}

}  // namespace synthesizer
