#include "data/tokenizer.h"

#include <gmock/gmock.h>

#include "data/train_vocabulary.h"
#include "tests/data/support.h"

namespace synthesizer {
namespace {

using synthesizer::TemporaryFolder;
using ::testing::HasSubstr;
using testing::usage_error;
using testing::write_file;

TEST(Vocabulary, AddsSentinelsAndPads) {
  const Vocabulary t5{.pieces = 32000};
  EXPECT_EQ(t5.size(), 32100);
  EXPECT_EQ(t5.padded_size(), 32128);
  EXPECT_EQ(t5.sentinel(0), 32099);
  EXPECT_EQ(t5.sentinel(99), 32000);
  EXPECT_TRUE(t5.is_sentinel(32000));
  EXPECT_FALSE(t5.is_sentinel(31999));
  EXPECT_FALSE(t5.is_sentinel(32100));
  EXPECT_EQ((Vocabulary{.pieces = 28}.padded_size()), 128);
}

TEST(Sha256, MatchesFips180) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(TrainVocabulary, GivesT5sSpecialPiecesAndEqualBytes) {
  const TemporaryFolder folder;
  const std::filesystem::path first = testing::make_tokenizer(folder.path(), 120);
  const std::string bytes = testing::read_file(first);
  testing::make_tokenizer(folder.path(), 120);
  EXPECT_EQ(testing::read_file(first), bytes);
  const Tokenizer tokenizer(first);
  EXPECT_EQ(tokenizer.vocabulary().pieces, 120);
  EXPECT_EQ(tokenizer.vocabulary().eos, 1);
  EXPECT_EQ(tokenizer.sha256(), sha256_hex(bytes));
  std::vector<int32_t> tokens;
  tokenizer.encode("\xE6\x97\xA5", tokens);  // no such letter in the text: unk
  EXPECT_EQ(tokens.back(), 2);
}

TEST(TrainVocabulary, SamplesLinesTheSameWayEachTime) {
  const TemporaryFolder folder;
  write_file(folder / "a.jsonl", testing::json_lines(testing::make_documents(500)));
  const VocabularyOptions options{
      .inputs = {(folder / "a.jsonl").string()}, .size = 100, .output = folder / "m", .max_sentences = 200};
  const VocabularyReport report = train_vocabulary(options);
  EXPECT_EQ(report.documents, 500);
  EXPECT_GT(report.sentences, 1000);
  EXPECT_EQ(report.sampled, 200);
  EXPECT_EQ(train_vocabulary(options).sha256, report.sha256);
}

TEST(TrainVocabulary, RefusesWhatCannotBe) {
  const TemporaryFolder folder;
  write_file(folder / "a.txt", "a few words are not enough\n");
  write_file(folder / "empty.txt", "\n\n");
  const auto error = [&](const char* name, int32_t size) {
    return usage_error(
        [&] { train_vocabulary({.inputs = {(folder / name).string()}, .size = size, .output = folder / "m"}); });
  };
  EXPECT_THAT(error("a.txt", 32000), AllOf(HasSubstr("32000 pieces"), HasSubstr("set it to a value <=")));
  EXPECT_THAT(error("a.txt", 5), HasSubstr("smaller than required_chars"));
  EXPECT_THAT(error("a.txt", 2), HasSubstr("--size"));
  EXPECT_THAT(error("empty.txt", 100), HasSubstr("empty corpus"));
  EXPECT_THAT(error("none.txt", 100), HasSubstr("no such file"));
  EXPECT_FALSE(std::filesystem::exists(folder / "m"));
}

TEST(Tokenizer, RoundTripsText) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer(testing::make_tokenizer(folder.path()));
  std::vector<int32_t> tokens;
  tokenizer.encode("the old river house", tokens);
  EXPECT_EQ(tokenizer.decode(tokens), "the old river house");
}

TEST(Tokenizer, EncodesLongTextsAsIfWhole) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer(testing::make_tokenizer(folder.path()));
  std::vector<int32_t> expected;
  std::string text;
  std::vector<int32_t> sentence;
  tokenizer.encode("the old river house went to the garden in winter", sentence);
  while (text.size() < (2u << 20) + 100) {
    text += "the old river house went to the garden in winter\n";
    expected.insert(expected.end(), sentence.begin(), sentence.end());
  }
  std::vector<int32_t> tokens;
  tokenizer.encode(text, tokens);
  EXPECT_EQ(tokens, expected);
}

TEST(Tokenizer, WritesWhatAModelSees) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer(testing::make_tokenizer(folder.path()));
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  std::vector<int32_t> tokens;
  tokenizer.encode("the river", tokens);
  tokens.push_back(vocabulary.sentinel(0));
  tokenizer.encode("house", tokens);
  tokens.insert(tokens.end(), {vocabulary.sentinel(1), vocabulary.eos, 0, 0});
  EXPECT_EQ(tokenizer.to_text(tokens, vocabulary), "the river <extra_id_0> house <extra_id_1> </s>");
}

TEST(Tokenizer, RefusesWhatIsNoModel) {
  const TemporaryFolder folder;
  write_file(folder / "text.model", "this is no model");
  write_file(folder / "empty.model", "");
  const auto error = [&](const char* name) { return usage_error([&] { Tokenizer t(folder / name); }); };
  EXPECT_THAT(error("text.model"), HasSubstr("no SentencePiece model"));
  EXPECT_THAT(error("empty.model"), HasSubstr("no SentencePiece model"));
  EXPECT_THAT(error("none.model"), HasSubstr("could not open"));
}

}  // namespace
}  // namespace synthesizer
