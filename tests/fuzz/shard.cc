// A shard, at the two places where wrong bytes reach the project's own code. The input's first byte chooses:
//   even  damage: a real shard of which bytes are altered, cut off or added, as a disk or a copy does it;
//   odd   contents: a sound HDF5 file of other members, types, sizes and values than a shard has, written by HDF5.
// What lies between is left to HDF5: 1.10 can crash on altered metadata, so the project lets it open a file only after
// the head (names, attributes, indices) has the XXH3 that the manifest gives, and the metadata behind the head has
// checksums of HDF5's own. A head that is broken on purpose, with a manifest made to fit, would reach HDF5.
#include <fmt/format.h>

#include "core/base/file.h"
#include "data/manifest.h"
#include "data/shard_reader.h"
#include "data/shard_writer.h"
#include "data/verify.h"
#include "tests/fuzz/fuzz.h"

using namespace synthesizer;

namespace {

constexpr const char* kSha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const Vocabulary kVocabulary{.pieces = 100};

// Takes the input apart; 0 where it is at its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool done() const { return at_ >= size_; }
  uint64_t number(int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) value |= uint64_t{done() ? uint8_t{0} : data_[at_++]} << (8 * i);
    return value;
  }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

void read_all(const std::filesystem::path& path) {
  ShardReader shard(path, 0);
  fuzz::hold(!shard.describe().empty(), "a shard that is opened is described");
  verify_documents(shard, kVocabulary);
}

struct Sound {
  std::string bytes;
  ShardRecord record;
};

Sound make_sound() {
  const std::filesystem::path path = fuzz::folder() / shard_file_name(0);
  ShardWriter writer(path, {kVocabulary.padded_size(), kVocabulary.eos, kSha256, "text.jsonl"}, /*compress=*/true);
  for (int32_t document = 0; document < 40; ++document) {
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < document; ++i) tokens.push_back(2 + (7 * document + i * i) % 98);
    tokens.push_back(kVocabulary.eos);
    writer.append_document(tokens);
  }
  writer.finish();
  Sound sound{.bytes = read_input_file(path), .record = {.file = shard_file_name(0)}};
  sound.record.bytes = static_cast<int64_t>(sound.bytes.size());
  sound.record.head_bytes = ShardReader(path, 0).head_bytes();
  sound.record.head_xxh3 = xxh3_of_file(path, sound.record.head_bytes);
  read_all(path);
  return sound;
}

void damaged(Input input, bool behind_head) {
  static const Sound sound = make_sound();
  const size_t first = behind_head ? static_cast<size_t>(sound.record.head_bytes) : 0;
  std::string bytes = sound.bytes;
  const int64_t longer = static_cast<int8_t>(input.number(1));  // mostly of another length, which is refused at once
  bytes.resize(bytes.size() + static_cast<size_t>(longer / 64));
  while (!input.done()) {
    const size_t at = first + input.number(2) % (bytes.size() - first);
    bytes[at] = static_cast<char>(input.number(1));
  }
  const std::filesystem::path path = fuzz::write_here(shard_file_name(0), bytes);
  fuzz::accepts([&] {
    check_shard_file(fuzz::folder().path(), sound.record, kSha256);
    read_all(path);
  });
}

void write_attribute(const Hdf5Handle& file, const char* name, hid_t type, const void* value) {
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle attribute(H5Acreate2(file.get(), name, type, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  H5Awrite(attribute.get(), type, value);
}

// Of one dimension or two, of any element type, chunked or not; `values` are converted to the type.
void write_set(const Hdf5Handle& file, const char* name, Input& input, const std::vector<uint64_t>& values) {
  const hid_t types[] = {H5T_STD_U16LE, H5T_STD_U64LE, H5T_STD_U32LE,  H5T_STD_U8LE,
                         H5T_STD_I32LE, H5T_STD_U16BE, H5T_IEEE_F64LE, H5T_STD_I64LE};
  const uint64_t shape = input.number(1);
  const hid_t type = types[shape % 8];
  const int rank = shape & 8 ? 2 : 1;
  const hsize_t dims[] = {values.size(), 1};
  const hsize_t most[] = {H5S_UNLIMITED, 1};
  const hsize_t own = input.number(4);
  const hsize_t chunk[] = {shape & 16 ? own + 1 : kShardChunkBytes / H5Tget_size(type), 1};
  const Hdf5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  if (!(shape & 32)) H5Pset_chunk(creation.get(), rank, chunk);
  if (shape & 64) H5Pset_fletcher32(creation.get());
  H5Pset_deflate(creation.get(), 1);
  const Hdf5Handle space(H5Screate_simple(rank, dims, shape & 32 ? nullptr : most), H5Sclose);
  const Hdf5Handle set(H5Dcreate2(file.get(), name, type, space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                       H5Dclose);
  // A chunk is made whole in memory when it is written; large ones stay unwritten and read as zeros.
  if (set.valid() && chunk[0] <= kShardChunkBytes)
    H5Dwrite(set.get(), H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
}

void composed(Input input) {
  const std::filesystem::path path = fuzz::folder() / shard_file_name(1);
  {
    const Hdf5Quiet quiet;
    std::filesystem::remove(path);
    const Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
    const uint64_t absent = input.number(1);  // a bit a member
    const Hdf5Handle text(H5Tcopy(H5T_C_S1), H5Tclose);
    H5Tset_size(text.get(), input.number(1) % 2 ? 64 : H5T_VARIABLE);
    const char* const format = input.number(1) % 4 == 3 ? "another" : kShardFormat;
    const std::string other = fmt::format("{:\x01>{}}", "\xff", input.number(1) % 100);
    const char* const source = input.number(1) % 2 ? other.c_str() : "text.jsonl";
    const auto text_member = [&](int bit, const char* name, const char* value) {
      if (H5Tis_variable_str(text.get()) > 0) {
        if (!(absent >> bit & 1)) write_attribute(file, name, text.get(), &value);
      } else {
        std::string padded(value);
        padded.resize(64);
        if (!(absent >> bit & 1)) write_attribute(file, name, text.get(), padded.data());
      }
    };
    const auto integer_member = [&](int bit, const char* name, uint64_t value) {
      if (!(absent >> bit & 1)) write_attribute(file, name, H5T_NATIVE_UINT64, &value);
    };
    text_member(0, "format", format);
    integer_member(1, "version", kShardVersion + input.number(8));
    integer_member(2, "vocab_size", input.number(8));
    integer_member(3, "eos_id", input.number(8));
    text_member(4, "tokenizer_sha256", kSha256);
    text_member(5, "source", source);
    std::vector<uint64_t> tokens(input.number(1)), offsets(input.number(1));
    for (uint64_t& token : tokens) token = input.number(4);
    for (uint64_t& offset : offsets) offset = input.number(8);
    if (!(absent >> 6 & 1)) write_set(file, kTokensName, input, tokens);
    if (!(absent >> 7 & 1)) write_set(file, kDocumentsName, input, offsets);
  }
  fuzz::accepts([&] { read_all(path); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint64_t kind = input.number(1);
  if (kind % 2 == 0)
    damaged(input, kind & 2);
  else
    composed(input);
  return 0;
}
