#include "data/shard_writer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/base/error.h"
#include "core/base/file.h"

namespace synthesizer {
namespace {

// What HDF5 could not do, and why; the file is known further up.
struct Hdf5Failure {
  std::string_view action;
  std::string reason;
};

template <typename T>
T checked(T result, std::string_view action) {
  if (result < 0) throw Hdf5Failure{action, hdf5_error()};
  return result;
}

// HDF5 tells the system's reason in its text: "…, errno = 28, …".
[[noreturn]] void fail_write(const std::filesystem::path& path, const Hdf5Failure& failure) {
  constexpr std::string_view kErrno = "errno = ";
  const size_t at = failure.reason.find(kErrno);
  if (at != std::string::npos) fail_errno(std::atoi(failure.reason.c_str() + at + kErrno.size()), "write", path);
  fail("could not write {}: HDF5 could not {}: {}", path.string(), failure.action, failure.reason);
}

Hdf5Handle create_file(const std::filesystem::path& path) {
  const Hdf5Quiet quiet;
  const Hdf5Handle creation(checked(H5Pcreate(H5P_FILE_CREATE), "make a property list"), H5Pclose);
  const Hdf5Handle access(checked(H5Pcreate(H5P_FILE_ACCESS), "make a property list"), H5Pclose);
  checked(H5Pset_obj_track_times(creation.get(), false), "switch object times off");
  // The 1.10 format has a checksum in every metadata block; closing the file closes all that is in it.
  checked(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_V110), "choose the file format");
  checked(H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG), "choose how files close");
  Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose);
  checked(file.get(), "create the file");
  return file;
}

void write_attribute(hid_t file, const char* name, int64_t value) {
  const Hdf5Handle space(checked(H5Screate(H5S_SCALAR), "make a data space"), H5Sclose);
  const Hdf5Handle attribute(
      checked(H5Acreate2(file, name, H5T_STD_I64LE, space.get(), H5P_DEFAULT, H5P_DEFAULT), "make an attribute"),
      H5Aclose);
  checked(H5Awrite(attribute.get(), H5T_NATIVE_INT64, &value), "write an attribute");
}

void write_attribute(hid_t file, const char* name, const std::string& value) {
  const Hdf5Handle type(checked(H5Tcopy(H5T_C_S1), "make a type"), H5Tclose);
  checked(H5Tset_size(type.get(), H5T_VARIABLE), "make a string type");
  checked(H5Tset_cset(type.get(), H5T_CSET_UTF8), "make a UTF-8 type");
  const Hdf5Handle space(checked(H5Screate(H5S_SCALAR), "make a data space"), H5Sclose);
  const Hdf5Handle attribute(
      checked(H5Acreate2(file, name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), "make an attribute"),
      H5Aclose);
  const char* text = value.c_str();
  checked(H5Awrite(attribute.get(), type.get(), &text), "write an attribute");
}

}  // namespace

ChunkedWriter::ChunkedWriter(hid_t file, const char* name, hid_t file_type, hid_t memory_type, bool compress)
    : memory_type_(memory_type), element_bytes_(H5Tget_size(memory_type)) {
  const Hdf5Quiet quiet;
  const hsize_t none = 0;
  const hsize_t unlimited = H5S_UNLIMITED;
  const hsize_t chunk = kShardChunkBytes / element_bytes_;
  const Hdf5Handle space(checked(H5Screate_simple(1, &none, &unlimited), "make a data space"), H5Sclose);
  const Hdf5Handle creation(checked(H5Pcreate(H5P_DATASET_CREATE), "make a property list"), H5Pclose);
  checked(H5Pset_chunk(creation.get(), 1, &chunk), "set the chunk size");
  checked(H5Pset_obj_track_times(creation.get(), false), "switch object times off");
  if (compress) checked(H5Pset_deflate(creation.get(), kDeflateLevel), "set deflate");
  checked(H5Pset_fletcher32(creation.get()), "set Fletcher-32");
  set_ = Hdf5Handle(checked(H5Dcreate2(file, name, file_type, space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                            "make a data set"),
                    H5Dclose);
  buffer_.reserve(kShardChunkBytes);
}

void ChunkedWriter::append(const void* elements, int64_t count) {
  const auto* bytes = static_cast<const std::byte*>(elements);
  size_t left = static_cast<size_t>(count) * element_bytes_;
  while (left > 0) {
    const size_t part = std::min(left, static_cast<size_t>(kShardChunkBytes) - buffer_.size());
    buffer_.insert(buffer_.end(), bytes, bytes + part);
    bytes += part;
    left -= part;
    if (buffer_.size() == kShardChunkBytes) flush();
  }
}

void ChunkedWriter::flush() {
  const Hdf5Quiet quiet;
  const hsize_t start = static_cast<hsize_t>(written_);
  const hsize_t count = buffer_.size() / element_bytes_;
  const hsize_t extent = start + count;
  checked(H5Dset_extent(set_.get(), &extent), "extend a data set");
  const Hdf5Handle memory(checked(H5Screate_simple(1, &count, nullptr), "make a data space"), H5Sclose);
  const Hdf5Handle space(checked(H5Dget_space(set_.get()), "get a data space"), H5Sclose);
  checked(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &start, nullptr, &count, nullptr), "select elements");
  checked(H5Dwrite(set_.get(), memory_type_, memory.get(), space.get(), H5P_DEFAULT, buffer_.data()), "write a chunk");
  written_ += static_cast<int64_t>(count);
  buffer_.clear();
}

void ChunkedWriter::finish() {
  if (!buffer_.empty()) flush();
  const Hdf5Quiet quiet;
  checked(set_.reset(), "close a data set");
}

ShardWriter::ShardWriter(const std::filesystem::path& path, const ShardAttributes& attributes, bool compress) try
    : path_(path),
      attributes_(attributes),
      file_(create_file(partial_name(path))),
      tokens_(file_.get(), kTokensName, token_bytes(attributes.vocab_size) == 2 ? H5T_STD_U16LE : H5T_STD_U32LE,
              token_bytes(attributes.vocab_size) == 2 ? H5T_NATIVE_UINT16 : H5T_NATIVE_UINT32, compress),
      offsets_(file_.get(), kDocumentsName, H5T_STD_U64LE, H5T_NATIVE_UINT64, compress) {
  const Hdf5Quiet quiet;
  write_attribute(file_.get(), "format", std::string(kShardFormat));
  write_attribute(file_.get(), "version", kShardVersion);
  write_attribute(file_.get(), "vocab_size", attributes.vocab_size);
  write_attribute(file_.get(), "eos_id", attributes.eos_id);
  write_attribute(file_.get(), "tokenizer_sha256", attributes.tokenizer_sha256);
  write_attribute(file_.get(), "source", attributes.source);
  const uint64_t zero = 0;
  offsets_.append(&zero, 1);
} catch (const Hdf5Failure& failure) {
  fail_write(path, failure);
}

void ShardWriter::append_document(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) {
    CHECK(token >= 0 && token < attributes_.vocab_size, "token {} is outside the vocabulary of {}", token,
          attributes_.vocab_size);
  }
  try {
    if (token_bytes(attributes_.vocab_size) == 2) {
      narrow_.assign(tokens.begin(), tokens.end());
      tokens_.append(narrow_.data(), static_cast<int64_t>(narrow_.size()));
    } else {
      tokens_.append(tokens.data(), static_cast<int64_t>(tokens.size()));
    }
    const auto end = static_cast<uint64_t>(tokens_.count());
    offsets_.append(&end, 1);
  } catch (const Hdf5Failure& failure) {
    fail_write(path_, failure);
  }
}

void ShardWriter::finish() {
  try {
    tokens_.finish();
    offsets_.finish();
    const Hdf5Quiet quiet;
    checked(file_.reset(), "close the file");
  } catch (const Hdf5Failure& failure) {
    fail_write(path_, failure);
  }
  commit_partial(path_);
}

}  // namespace synthesizer
