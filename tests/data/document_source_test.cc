#include "data/document_source.h"

#include <gmock/gmock.h>

#include "tests/data/support.h"

namespace synthesizer {
namespace {

using synthesizer::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::usage_error;
using testing::write_file;
using testing::write_gzip;

std::vector<std::string> texts(const std::filesystem::path& path, const SourceOptions& options = {}) {
  std::vector<std::string> result;
  DocumentReader reader(path, options);
  for (RawDocument raw; reader.next(raw);) result.push_back(parse_document(path, options, std::move(raw)));
  return result;
}

std::string error_of(const std::filesystem::path& path, const SourceOptions& options = {}) {
  return usage_error([&] { texts(path, options); });
}

TEST(DocumentSource, ReadsEveryFormat) {
  const TemporaryFolder folder;
  const std::string lines = "{\"text\":\"one\"}\n\n{\"url\":1,\"text\":\"two\\nlines\"}\r\n{\"text\":\"\"}";
  write_file(folder / "a.jsonl", lines);
  write_file(folder / "a.json", lines);
  write_gzip(folder / "a.json.gz", lines);
  for (const char* name : {"a.jsonl", "a.json", "a.json.gz"}) {
    EXPECT_THAT(texts(folder / name), ElementsAre("one", "two\nlines", "")) << name;
  }
  write_file(folder / "a.txt", "\xEF\xBB\xBFone\r\n\nthree");
  write_gzip(folder / "b.txt.gz", "one\n\nthree\n");
  EXPECT_THAT(texts(folder / "a.txt"), ElementsAre("one", "", "three"));
  EXPECT_THAT(texts(folder / "b.txt.gz"), ElementsAre("one", "", "three"));
  EXPECT_THAT(texts(folder / "b.txt.gz", {.text_unit = TextUnit::kFile}), ElementsAre("one\n\nthree\n"));
}

TEST(DocumentSource, TakesTheFieldThatIsAskedFor) {
  const TemporaryFolder folder;
  write_file(folder / "a.jsonl", "{\"text\":\"no\",\"body\":\"yes\"}\n");
  EXPECT_THAT(texts(folder / "a.jsonl", {.text_field = "body"}), ElementsAre("yes"));
}

TEST(DocumentSource, ReadsLinesLongerThanItsBuffer) {
  const TemporaryFolder folder;
  const std::string line(1'000'003, 'x');
  write_file(folder / "a.txt", line + "\nshort\n" + line);
  EXPECT_THAT(texts(folder / "a.txt"), ElementsAre(line, "short", line));
}

TEST(DocumentSource, NamesFileAndLineOfBrokenJson) {
  const TemporaryFolder folder;
  write_file(folder / "a.jsonl", "{\"text\":\"ok\"}\n\n{\"text\":\"cut of\n");
  EXPECT_THAT(error_of(folder / "a.jsonl"),
              AllOf(HasSubstr("broken json on line 3 of "), HasSubstr("a.jsonl"), HasSubstr("missing closing quote")));
  write_file(folder / "b.jsonl", "[1, 2]\n");
  EXPECT_THAT(error_of(folder / "b.jsonl"), AllOf(HasSubstr("broken json on line 1 of "), HasSubstr("got array")));
  write_file(folder / "c.jsonl", "{\"text\":\"ok\",\"score\":1e999}\n");
  EXPECT_THAT(error_of(folder / "c.jsonl"),
              AllOf(HasSubstr("broken json on line 1 of "), HasSubstr("number overflow parsing '1e999'")));
}

TEST(DocumentSource, NamesTheFieldThatIsMissingOrNoString) {
  const TemporaryFolder folder;
  write_file(folder / "a.jsonl", "{\"text\":\"ok\"}\n{\"body\":\"b\",\"title\":\"t\"}\n");
  EXPECT_THAT(error_of(folder / "a.jsonl"),
              AllOf(HasSubstr("line 2 of "), HasSubstr("no field \"text\""), HasSubstr("body, title")));
  write_file(folder / "b.jsonl", "{\"text\":17}\n");
  EXPECT_THAT(error_of(folder / "b.jsonl"), HasSubstr("field \"text\" is a number, expected a string"));
}

TEST(DocumentSource, NamesLineAndByteOfWhatIsNotUtf8) {
  const TemporaryFolder folder;
  write_file(folder / "a.txt", "fine\ncaf\xE9\n");
  EXPECT_THAT(error_of(folder / "a.txt"), HasSubstr("invalid UTF-8 at line 2 byte 4 of "));
  EXPECT_THAT(error_of(folder / "a.txt", {.text_unit = TextUnit::kFile}),
              HasSubstr("invalid UTF-8 at line 2 byte 4 of "));
  write_file(folder / "a.jsonl", "{\"text\":\"\xFF\"}\n");
  EXPECT_THAT(error_of(folder / "a.jsonl"), HasSubstr("invalid UTF-8 at line 1 byte 10 of "));
}

TEST(DocumentSource, RefusesDamagedGzip) {
  const TemporaryFolder folder;
  write_gzip(folder / "whole.txt.gz", std::string(100'000, 'a') + "end\n");
  std::string bytes = testing::read_file(folder / "whole.txt.gz");
  write_file(folder / "cut.txt.gz", std::string_view(bytes).substr(0, bytes.size() - 9));
  EXPECT_THAT(error_of(folder / "cut.txt.gz"), AllOf(HasSubstr("cut.txt.gz"), HasSubstr("ends early")));
  bytes[bytes.size() - 6] ^= 1;  // the checksum at the end
  write_file(folder / "bad.txt.gz", bytes);
  EXPECT_THAT(error_of(folder / "bad.txt.gz"), HasSubstr("could not read"));
  write_file(folder / "plain.txt.gz", "text\n");
  EXPECT_THAT(error_of(folder / "plain.txt.gz"), HasSubstr("not in gzip format"));
}

TEST(ExpandInputs, SortsAndKeepsEachOnce) {
  const TemporaryFolder folder;
  for (const char* name : {"b.txt", "a.txt", "c[1].jsonl"}) write_file(folder / name, "x\n");
  EXPECT_THAT(
      expand_inputs({(folder / "*.txt").string(), (folder / "a.txt").string(), (folder / "c[1].jsonl").string()}),
      ElementsAre(folder / "a.txt", folder / "b.txt", folder / "c[1].jsonl"));
}

TEST(ExpandInputs, RefusesWhatIsNoInput) {
  const TemporaryFolder folder;
  write_file(folder / "a.csv", "x\n");
  const auto error = [&](const std::string& name) { return usage_error([&] { expand_inputs({name}); }); };
  EXPECT_THAT(error((folder / "none*.txt").string()), AllOf(HasSubstr("none*.txt"), HasSubstr("no such file")));
  EXPECT_THAT(error(folder.path().string()), HasSubstr("is a folder"));
  EXPECT_THAT(error((folder / "a.csv").string()), HasSubstr("expected .json, .jsonl or .txt"));
  EXPECT_THAT(usage_error([] { expand_inputs({}); }), HasSubstr("no input"));
}

}  // namespace
}  // namespace synthesizer
