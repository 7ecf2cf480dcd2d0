#include "data/corpus.h"

#include <gmock/gmock.h>

#include "data/verify.h"
#include "tests/data/support.h"

namespace synthesizer {
namespace {

using synthesizer::TemporaryFolder;
using testing::flip_byte;
using ::testing::HasSubstr;
using testing::usage_error;

std::string open_error(const std::filesystem::path& folder) {
  return usage_error([&] { Corpus corpus(folder); });
}

std::string verify_error(const std::filesystem::path& folder) {
  return usage_error([&] { verify_shards(folder); });
}

// Where HDF5 keeps a chunk, as h5py tells it.
size_t chunk_offset(const std::filesystem::path& shard, const std::string& set, int chunk) {
  const auto output = testing::run_program(fmt::format(
      "/usr/bin/python3 -c \"import h5py; print(h5py.File('{}', 'r')['{}'].id.get_chunk_info({}).byte_offset)\"",
      shard.string(), set, chunk));
  EXPECT_EQ(output.status, 0) << output.text;
  return std::stoull(output.text);
}

TEST(Corpus, ReadsAcrossShards) {
  const TemporaryFolder folder;
  Corpus corpus(testing::make_shards(folder.path(), 120, 5));
  std::vector<int32_t> all(static_cast<size_t>(corpus.tokens()));
  corpus.read(0, all);
  std::vector<int32_t> part(200);
  for (int64_t begin = 0; begin + 200 <= corpus.tokens(); begin += 37) {
    corpus.read(begin, part);
    ASSERT_TRUE(std::equal(part.begin(), part.end(), all.begin() + begin)) << begin;
  }
  EXPECT_EQ(corpus.document_begin(corpus.documents()), corpus.tokens());
}

TEST(Corpus, HoldsOutTheLastHundredth) {
  const TemporaryFolder folder;
  Corpus corpus(testing::make_shards(folder.path(), 303, 2));
  const CorpusSplit split = split_corpus(corpus);
  EXPECT_EQ(split.training.documents, 300);
  EXPECT_EQ(split.validation.documents, 3);
  EXPECT_EQ(split.training.begin, 0);
  EXPECT_EQ(split.training.end, split.validation.begin);
  EXPECT_EQ(split.validation.begin, corpus.document_begin(300));
  EXPECT_EQ(split.validation.end, corpus.tokens());
}

TEST(Corpus, RefusesWhatIsMissing) {
  const TemporaryFolder folder;
  const std::filesystem::path shards = testing::make_shards(folder.path(), 60, 2);
  EXPECT_THAT(open_error(folder / "none"), HasSubstr("not found"));
  EXPECT_THAT(open_error(folder.path()), HasSubstr("has no manifest.json"));
  std::filesystem::rename(shards / "part-00001.h5", shards / "away");
  EXPECT_THAT(open_error(shards), AllOf(HasSubstr("part-00001.h5"), HasSubstr("is missing")));
  std::filesystem::rename(shards / "away", shards / "part-00001.h5");
  std::filesystem::remove(shards / "tokenizer.model");
  EXPECT_THAT(open_error(shards), AllOf(HasSubstr("tokenizer.model"), HasSubstr("could not open")));
}

TEST(Corpus, RefusesAnotherTokenizer) {
  const TemporaryFolder folder;
  const std::filesystem::path shards = testing::make_shards(folder.path(), 60, 2);
  const std::string right = testing::read_file(shards / "tokenizer.model");
  testing::write_file(shards / "tokenizer.model", testing::read_file(testing::make_tokenizer(folder.path(), 110)));
  EXPECT_THAT(open_error(shards), HasSubstr("not the tokenizer of these shards"));
  testing::write_file(shards / "tokenizer.model", right);
  // A shard of a build with the other one, under the right name and of the right size.
  BuildOptions other = testing::make_corpus_files(folder.path(), 60);
  other.tokenizer = testing::make_tokenizer(folder.path(), 110);
  other.output = folder / "other";
  other.shards = 2;
  build_shards(other);
  std::filesystem::copy_file(folder / "other/part-00001.h5", shards / "part-00001.h5",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(open_error(shards), AllOf(HasSubstr("part-00001.h5"), HasSubstr("another tokenizer")));
}

TEST(Corpus, RefusesAlteredManifestsAndSizes) {
  const TemporaryFolder folder;
  const std::filesystem::path shards = testing::make_shards(folder.path(), 60, 2);
  const std::string manifest = testing::read_file(shards / "manifest.json");
  testing::write_file(shards / "manifest.json", manifest.substr(0, manifest.size() / 2));
  EXPECT_THAT(open_error(shards), AllOf(HasSubstr("manifest.json"), HasSubstr("is broken")));
  std::string counts = manifest;
  counts.replace(counts.find("\"documents\": 30"), 15, "\"documents\": 29");
  testing::write_file(shards / "manifest.json", counts);
  EXPECT_THAT(open_error(shards), HasSubstr("got documents 30, expected 29"));
  testing::write_file(shards / "manifest.json", manifest);
  const std::string shard = testing::read_file(shards / "part-00000.h5");
  testing::write_file(shards / "part-00000.h5", shard.substr(0, shard.size() - 1));
  EXPECT_THAT(open_error(shards), AllOf(HasSubstr("altered shard"), HasSubstr("part-00000.h5"), HasSubstr("bytes")));
}

TEST(Corpus, NamesTheChunkWhoseChecksumIsWrong) {
  const TemporaryFolder folder;
  const std::filesystem::path shards = testing::make_shards(folder.path(), 60, 2);
  flip_byte(shards / "part-00001.h5", chunk_offset(shards / "part-00001.h5", "tokens", 0) + 100);
  Corpus corpus(shards);
  std::vector<int32_t> out(10);
  EXPECT_THAT(usage_error([&] { corpus.read(corpus.tokens() - 10, out); }),
              AllOf(HasSubstr("part-00001.h5"), HasSubstr("/tokens chunk 0"), HasSubstr("letcher32")));
}

TEST(Verify, CountsWhatIsWhole) {
  const TemporaryFolder folder;
  const std::filesystem::path shards = testing::make_shards(folder.path(), 60, 3);
  const VerifyReport report = verify_shards(shards);
  EXPECT_EQ(report.shards, 3);
  EXPECT_EQ(report.documents, 60);
  EXPECT_EQ(report.tokens, Corpus(shards).tokens());
}

TEST(Verify, NamesTheFirstBadPlace) {
  const TemporaryFolder folder;
  const std::filesystem::path shards = testing::make_shards(folder.path(), 60, 2);
  const std::filesystem::path shard = shards / "part-00001.h5";
  for (const char* set : {"tokens", "documents"}) {
    const size_t offset = chunk_offset(shard, set, 0) + 20;
    flip_byte(shard, offset);
    EXPECT_THAT(verify_error(shards), AllOf(HasSubstr("part-00001.h5"), HasSubstr(fmt::format("/{} chunk 0", set))));
    flip_byte(shard, offset);
  }
  EXPECT_NO_THROW(verify_shards(shards));
}

// A writer that keeps the checksums right, as h5py does, is found out by what the numbers mean.
TEST(Verify, ChecksWhatChecksumsDoNot) {
  const TemporaryFolder folder;
  const std::filesystem::path shards = testing::make_shards(folder.path(), 60, 2);
  const std::filesystem::path shard = shards / "part-00000.h5";
  const std::string whole = testing::read_file(shard);
  const auto error_after = [&](const std::string& change) {
    testing::write_file(shard, whole);
    const auto output = testing::run_program(
        fmt::format("/usr/bin/python3 -c \"import h5py; f = h5py.File('{}', 'r+'); {}\"", shard.string(), change));
    EXPECT_EQ(output.status, 0) << output.text;
    std::filesystem::resize_file(shard, whole.size());
    return verify_error(shards);
  };
  EXPECT_THAT(error_after("f['documents'][7] = f['documents'][9]"), HasSubstr("element 8 of /documents"));
  EXPECT_THAT(error_after("f['documents'][0] = 1"), HasSubstr("element 0 of /documents is 1"));
  EXPECT_THAT(error_after("f['documents'][30] = 10**9"), HasSubstr("element 30 of /documents"));
  EXPECT_THAT(error_after("f['documents'][3] = f['documents'][3] - 1"), HasSubstr("document 2 ends at token"));
  EXPECT_THAT(error_after("f['tokens'][11] = 60000"), HasSubstr("token 11 of /tokens is 60000"));
  EXPECT_THAT(error_after("f['tokens'][11] = 130"), HasSubstr("the tokenizer has 120 pieces"));
  EXPECT_THAT(error_after("f['tokens'][11] = 7 if f['tokens'][11] != 7 else 8"), HasSubstr("got XXH3"));
}

// Whatever byte of a shard is altered, verify refuses it.
TEST(Verify, FindsDamageAnywhere) {
  const TemporaryFolder folder;
  const std::filesystem::path shards = testing::make_shards(folder.path(), 30, 1);
  const std::filesystem::path shard = shards / "part-00000.h5";
  const auto size = static_cast<size_t>(std::filesystem::file_size(shard));
  std::vector<size_t> offsets;
  for (size_t offset = 0; offset < 4096; offset += 61) offsets.push_back(offset);
  for (size_t offset = 4099; offset < size; offset += size / 40) offsets.push_back(offset);
  for (const size_t offset : offsets) {
    flip_byte(shard, offset);
    EXPECT_THROW(verify_shards(shards), UsageError) << "byte " << offset;
    flip_byte(shard, offset);
  }
  EXPECT_NO_THROW(verify_shards(shards));
}

}  // namespace
}  // namespace synthesizer
