// Files that change while they are read: an error that names them, and nothing that could pass for whole.
#include <gmock/gmock.h>

#include "data/corpus.h"
#include "tests/data/support.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;
using synthesizer::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::usage_error;

class ChangingInput : public ::testing::Test {
 protected:
  // Builds, and calls `change` when all documents are counted and none is written; the message of the error.
  std::string build(const std::function<void()>& change) {
    bool changed = false;
    const auto progress = [&](const BuildProgress& at) {
      if (at.stage != "counting" || at.documents < 120 || changed) return;
      changed = true;
      change();
    };
    try {
      build_shards(options_, {}, progress);
    } catch (const UsageError& error) {
      ADD_FAILURE() << "the build was under way: " << error.what();
    } catch (const Error& error) {
      EXPECT_TRUE(changed);
      EXPECT_FALSE(fs::exists(options_.output / kManifestFile));
      return error.what();
    }
    return "";
  }

  TemporaryFolder folder_;
  BuildOptions options_ = testing::make_corpus_files(folder_.path(), 120);
  fs::path input_ = folder_ / "b.jsonl";
};

TEST_F(ChangingInput, ThatIsCut) {
  EXPECT_THAT(build([&] { fs::resize_file(input_, fs::file_size(input_) / 2); }),
              AllOf(HasSubstr("b.jsonl has changed while the build went on"), HasSubstr("build again")));
  EXPECT_THAT(usage_error([&] { build_shards(options_); }), HasSubstr("other input or options"));
}

TEST_F(ChangingInput, ThatIsReplacedByAsManyDocuments) {
  const std::string text = testing::read_file(input_);
  std::string other = text;
  for (char& c : other) c = c == 'e' ? 'a' : c;
  ASSERT_NE(text.find("text"), std::string::npos);
  for (size_t at = 0; (at = other.find("taxt", at)) != std::string::npos;) other.replace(at, 4, "text");
  EXPECT_THAT(build([&] {
                testing::write_file(folder_ / "new", other);
                fs::last_write_time(folder_ / "new", fs::last_write_time(input_) + std::chrono::seconds(1));
                fs::rename(folder_ / "new", input_);
              }),
              HasSubstr("b.jsonl has changed while the build went on"));
  EXPECT_THAT(usage_error([&] { build_shards(options_); }), HasSubstr("b.jsonl has changed since the build"));
}

TEST_F(ChangingInput, ThatIsRemoved) {
  EXPECT_THAT(build([&] { fs::remove(input_); }), HasSubstr("b.jsonl has changed while the build went on"));
}

TEST(ChangingShard, ThatIsCutWhileItIsOpen) {
  const TemporaryFolder folder;
  const fs::path shards = testing::make_shards(folder.path(), 100, 1);
  Corpus corpus(shards);
  corpus.document_begin(3);  // the file is open now, no token was read
  fs::resize_file(shards / "part-00000.h5", 4000);
  std::vector<int32_t> tokens(16);
  EXPECT_THAT(usage_error([&] { corpus.read(0, tokens); }),
              HasSubstr("altered shard " + (shards / "part-00000.h5").string()));
}

TEST(ChangingShard, ThatIsReplacedWhileItIsOpen) {
  const TemporaryFolder folder;
  const fs::path shards = testing::make_shards(folder.path(), 100, 1);
  Corpus corpus(shards);
  corpus.document_begin(3);
  std::vector<int32_t> before(64), after(64);
  Corpus(shards).read(0, before);
  testing::write_file(folder / "new", "not a shard");
  fs::rename(folder / "new", shards / "part-00000.h5");
  corpus.read(0, after);  // the file that was opened is still there for who has it
  EXPECT_EQ(before, after);
  EXPECT_THAT(usage_error([&] { Corpus again(shards); }), HasSubstr("part-00000.h5"));
}

}  // namespace
}  // namespace synthesizer
