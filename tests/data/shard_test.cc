#include <gmock/gmock.h>

#include <numeric>

#include "data/shard_reader.h"
#include "data/shard_writer.h"
#include "tests/data/support.h"

namespace synthesizer {
namespace {

using synthesizer::TemporaryFolder;
using ::testing::HasSubstr;
using testing::usage_error;

ShardAttributes attributes(int64_t vocab_size) {
  return {.vocab_size = vocab_size, .eos_id = 1, .tokenizer_sha256 = std::string(64, 'a'), .source = "a.txt[0:3]"};
}

// Documents whose tokens run over several chunks.
std::vector<std::vector<int32_t>> documents(int32_t vocab_size) {
  std::vector<std::vector<int32_t>> all;
  for (const size_t length : {3, 1, 600'000, 17, 600'000}) {
    std::vector<int32_t> tokens(length);
    for (size_t i = 0; i + 1 < length; ++i) tokens[i] = static_cast<int32_t>((i * 7919 + length) % vocab_size);
    tokens.back() = 1;
    all.push_back(tokens);
  }
  return all;
}

void write(const std::filesystem::path& path, int32_t vocab_size, bool compress) {
  ShardWriter writer(path, attributes(vocab_size), compress);
  for (const auto& document : documents(vocab_size)) writer.append_document(document);
  writer.finish();
}

class Shard : public ::testing::TestWithParam<std::tuple<int32_t, bool>> {};

TEST_P(Shard, ReadsWhatWasWritten) {
  const auto [vocab_size, compress] = GetParam();
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "a.h5";
  write(path, vocab_size, compress);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.h5.partial"));
  std::vector<int32_t> all;
  std::vector<uint64_t> offsets{0};
  for (const auto& document : documents(vocab_size)) {
    all.insert(all.end(), document.begin(), document.end());
    offsets.push_back(all.size());
  }
  ShardReader reader(path, 0);
  EXPECT_EQ(reader.attributes(), attributes(vocab_size));
  ASSERT_EQ(reader.tokens(), static_cast<int64_t>(all.size()));
  ASSERT_EQ(reader.documents(), 5);
  EXPECT_EQ(reader.chunk_tokens(), kShardChunkBytes / token_bytes(vocab_size));
  std::vector<int32_t> tokens(all.size());
  reader.read_tokens(0, tokens);
  EXPECT_EQ(tokens, all);
  std::vector<int32_t> window(1000);
  reader.read_tokens(reader.chunk_tokens() - 500, window);
  EXPECT_TRUE(std::equal(window.begin(), window.end(), all.begin() + reader.chunk_tokens() - 500));
  std::vector<uint64_t> read_offsets(6);
  reader.read_offsets(0, read_offsets);
  EXPECT_EQ(read_offsets, offsets);
}

TEST_P(Shard, IsTheSameBytesEachTime) {
  const auto [vocab_size, compress] = GetParam();
  const TemporaryFolder folder;
  write(folder / "a.h5", vocab_size, compress);
  write(folder / "b.h5", vocab_size, compress);
  EXPECT_TRUE(testing::read_file(folder / "a.h5") == testing::read_file(folder / "b.h5"));
}

INSTANTIATE_TEST_SUITE_P(Formats, Shard, ::testing::Combine(::testing::Values(32128, 100'096), ::testing::Bool()));

TEST(ShardWriter, RefusesTokensOutsideTheVocabulary) {
  const TemporaryFolder folder;
  ShardWriter writer(folder / "a.h5", attributes(128), false);
  EXPECT_THROW(writer.append_document(std::vector<int32_t>{5, 128}), Error);
  EXPECT_THROW(writer.append_document(std::vector<int32_t>{-1}), Error);
}

TEST(ShardReader, RefusesWhatIsNoShard) {
  const TemporaryFolder folder;
  testing::write_file(folder / "text.h5", "this is no HDF5 file");
  const auto error = [&](const char* name) { return usage_error([&] { ShardReader(folder / name, 0); }); };
  EXPECT_THAT(error("text.h5"), HasSubstr("no HDF5 file"));
  EXPECT_THAT(error("none.h5"), HasSubstr("is missing"));
  const auto made = testing::run_program("/usr/bin/python3 -c \"import h5py; h5py.File('" +
                                         (folder / "other.h5").string() + "', 'w')['x'] = [1, 2]\"");
  ASSERT_EQ(made.status, 0) << made.text;
  EXPECT_THAT(error("other.h5"), HasSubstr("no attribute format"));
}

// What other programs see: the contract with anyone who reads the shards without this one.
TEST(ShardFormat, H5pyReadsIt) {
  const TemporaryFolder folder;
  write(folder / "a.h5", 32128, true);
  testing::write_file(folder / "read.py", R"(
import sys, h5py
f = h5py.File(sys.argv[1], 'r')
t, d = f['tokens'], f['documents']
print(t.dtype, t.shape, t.chunks, t.fletcher32, t.compression, d.dtype, d.shape, d.fletcher32)
print(list(map(int, d[:])), int(t[:3][0]), int(t[int(d[3]) - 1]), int(t[:].sum()))
print(sorted((k, str(v)) for k, v in f.attrs.items()))
)");
  const auto output =
      testing::run_program("/usr/bin/python3 " + (folder / "read.py").string() + " " + (folder / "a.h5").string());
  ASSERT_EQ(output.status, 0) << output.text;
  int64_t sum = 0;
  for (const auto& document : documents(32128)) sum = std::accumulate(document.begin(), document.end(), sum);
  EXPECT_EQ(output.text, fmt::format("uint16 (1200021,) (524288,) True gzip uint64 (6,) True\n"
                                     "[0, 3, 4, 600004, 600021, 1200021] 3 1 {}\n"
                                     "[('eos_id', '1'), ('format', 'synthesizer.shard'), ('source', 'a.txt[0:3]'), "
                                     "('tokenizer_sha256', '{}'), ('version', '1'), ('vocab_size', '32128')]\n",
                                     sum, std::string(64, 'a')));
}

TEST(ShardFormat, H5dumpReadsIt) {
  const TemporaryFolder folder;
  write(folder / "a.h5", 32128, false);
  const auto header = testing::run_program("h5dump -p -H " + (folder / "a.h5").string());
  EXPECT_EQ(header.status, 0) << header.text;
  EXPECT_THAT(header.text, AllOf(HasSubstr("DATASET \"tokens\""), HasSubstr("H5T_STD_U16LE"), HasSubstr("FLETCHER32"),
                                 HasSubstr("CHUNKED ( 524288 )")));
  const auto values = testing::run_program("h5dump -y -w 0 -d /documents " + (folder / "a.h5").string());
  EXPECT_EQ(values.status, 0) << values.text;
  EXPECT_THAT(values.text, HasSubstr("0, 3, 4, 600004, 600021, 1200021"));
}

}  // namespace
}  // namespace synthesizer
