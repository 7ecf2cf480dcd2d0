// Input that is unusual and right: it works, in bounded memory. And where the bound is, that is said.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <nlohmann/json.hpp>

#include "tests/launch/wrong/wrong.h"

namespace synthesizer {
namespace {

using testing::HasSubstr;

nlohmann::json inspect(const Workplace& place, const std::string& shards) {
  return nlohmann::json::parse(place.must({"data", "inspect", shards, "--json"}));
}

const std::string kBuild = "data build --tokenizer spiece.model --threads 1 --output out --input ";

TEST(Unusual, ALineOfAHundredMegabytes) {
  const Workplace place;
  // Few words and much space, which takes the same way through the program in less time.
  std::string line = "{\"text\": \"";
  while (line.size() < 1'000'000) line += "so many words in one line ";
  line += std::string(100'000'000 - line.size(), ' ') + "the end\"}\n";
  place.folder().write("long.jsonl", "{\"text\": \"A short one.\"}\n" + line);
  place.must(words_of(kBuild + "long.jsonl"));
  EXPECT_EQ(inspect(place, "out").at("documents"), 2);
  EXPECT_GT(inspect(place, "out").at("tokens"), 200'000);
  struct rusage used;
  ASSERT_EQ(getrusage(RUSAGE_CHILDREN, &used), 0);
  EXPECT_LT(used.ru_maxrss, 1'500'000) << "KiB, the largest program of this test";
}

TEST(Unusual, ALineBeyondTheBoundIsRefusedByItsNumber) {
  const Workplace place;
  place.folder().write("huge.jsonl", "{\"text\": \"One.\"}\n{\"text\": \"" + std::string(130 << 20, 'a') + "\"}\n");
  const ProgramResult result = place.run(words_of(kBuild + "huge.jsonl"));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(error_line(result), HasSubstr("line 2 of huge.jsonl: got a document of more than 134217728 bytes"));
  EXPECT_FALSE(std::filesystem::exists(place.path() / "out"));
}

TEST(Unusual, AHundredThousandEmptyDocumentsAndOneOfOneToken) {
  const Workplace place;
  std::string lines;
  for (int i = 0; i < 100'000; ++i) lines += "{\"text\": \"\"}\n";
  place.folder().write("empty.jsonl", lines);
  const ProgramResult refused = place.run(words_of(kBuild + "empty.jsonl"));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(error_line(refused), HasSubstr("empty corpus: 1 input files hold 100000 documents and no text"));

  place.folder().write("almost.jsonl", lines + "{\"text\": \"a\"}\n");
  place.must(words_of(kBuild + "almost.jsonl"));
  place.must(words_of("data verify out"));
  const nlohmann::json shards = inspect(place, "out");
  EXPECT_EQ(shards.at("documents"), 100'001);
  EXPECT_EQ(shards.at("tokens"), 100'001 + 1);  // an eos each, and the one
  // It can even be trained on.
  place.must(words_of("train run.txtpb --set data.shards=out"));
}

TEST(Unusual, ADocumentOfOneTokenAlone) {
  const Workplace place;
  place.folder().write("one.txt", "a\n");
  place.must(words_of(kBuild + "one.txt"));
  EXPECT_EQ(inspect(place, "out").at("tokens"), 2);
  EXPECT_EQ(inspect(place, "out").at("documents"), 1);
}

}  // namespace
}  // namespace synthesizer
