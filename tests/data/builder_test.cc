#include "data/builder.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <barrier>
#include <csignal>
#include <thread>

#include "data/corpus.h"
#include "data/shard_reader.h"
#include "tests/data/support.h"

namespace synthesizer {
namespace {

using synthesizer::TemporaryFolder;
using testing::folder_bytes;
using ::testing::HasSubstr;
using testing::usage_error;

// As many ranks as mpirun would start, here as threads.
void build_with_ranks(const BuildOptions& options, int world) {
  std::barrier barrier(world);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < world; ++rank) {
    ranks.emplace_back([&, rank] {
      build_shards(options, {.rank = rank, .world = world, .barrier = [&] { barrier.arrive_and_wait(); }});
    });
  }
  for (std::thread& rank : ranks) rank.join();
}

// Builds in a process of its own that is killed when it reports `shards` whole shards.
void build_and_kill(const BuildOptions& options, int64_t shards) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    try {
      build_shards(options, {}, [&](const BuildProgress& progress) {
        if (progress.stage == "building" && progress.shards == shards) ::raise(SIGKILL);
      });
    } catch (...) {
    }
    ::_exit(3);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
}

TEST(Builder, KeepsEveryDocumentInOrder) {
  const TemporaryFolder folder;
  BuildOptions options = testing::make_corpus_files(folder.path(), 300);
  options.shards = 4;
  const BuildReport report = build_shards(options);
  EXPECT_EQ(report.documents, 300);
  EXPECT_EQ(report.shards, 4);
  Corpus corpus(options.output);
  ASSERT_EQ(corpus.documents(), 300);
  EXPECT_EQ(corpus.tokens(), report.tokens);
  for (const ShardRecord& shard : corpus.manifest().shards) EXPECT_EQ(shard.documents, 75);
  const std::vector<std::string> documents = testing::make_documents(300);
  for (int64_t i = 0; i < 300; ++i) {
    std::vector<int32_t> expected;
    corpus.tokenizer().encode(documents[static_cast<size_t>(i)], expected);
    expected.push_back(1);
    std::vector<int32_t> tokens(static_cast<size_t>(corpus.document_begin(i + 1) - corpus.document_begin(i)));
    corpus.read(corpus.document_begin(i), tokens);
    ASSERT_EQ(tokens, expected) << i;
  }
  EXPECT_EQ(ShardReader(options.output / "part-00001.h5", 0).attributes().source, "a.json.gz[75:100] b.jsonl[0:50]");
}

TEST(Builder, GivesTheSameBytesForAnyThreadsAndRanks) {
  const TemporaryFolder folder;
  BuildOptions options = testing::make_corpus_files(folder.path(), 1000);
  options.shards = 5;
  options.threads = 1;
  build_shards(options);
  const auto expected = folder_bytes(options.output);
  ASSERT_EQ(expected.size(), 7u);  // five shards, manifest, tokenizer: nothing else is left
  for (const int threads : {2, 4}) {
    options.threads = threads;
    options.output = folder / fmt::format("threads-{}", threads);
    build_shards(options);
    EXPECT_TRUE(folder_bytes(options.output) == expected) << threads << " threads";
  }
  for (const int ranks : {2, 3}) {
    options.output = folder / fmt::format("ranks-{}", ranks);
    build_with_ranks(options, ranks);
    EXPECT_TRUE(folder_bytes(options.output) == expected) << ranks << " ranks";
  }
}

TEST(Builder, GoesOnAfterKill) {
  const TemporaryFolder folder;
  BuildOptions options = testing::make_corpus_files(folder.path(), 500);
  options.shards = 5;
  build_shards(options);
  const auto expected = folder_bytes(options.output);
  for (const int64_t kill_after : {0, 1, 3, 5}) {
    options.output = folder / fmt::format("killed-{}", kill_after);
    build_and_kill(options, kill_after);
    EXPECT_FALSE(std::filesystem::exists(options.output / kManifestFile));
    EXPECT_THAT(usage_error([&] { Corpus corpus(options.output); }), HasSubstr("not finished"));
    std::vector<std::filesystem::file_time_type> times;
    for (int64_t i = 0; i < kill_after; ++i) {
      times.push_back(std::filesystem::last_write_time(options.output / shard_file_name(i)));
    }
    const BuildReport report = build_shards(options);
    EXPECT_EQ(report.kept_shards, kill_after);
    EXPECT_TRUE(folder_bytes(options.output) == expected) << kill_after;
    for (int64_t i = 0; i < kill_after; ++i) {
      EXPECT_EQ(std::filesystem::last_write_time(options.output / shard_file_name(i)), times[static_cast<size_t>(i)]);
    }
  }
}

TEST(Builder, GoesOnWithAnotherNumberOfRanks) {
  const TemporaryFolder folder;
  BuildOptions options = testing::make_corpus_files(folder.path(), 500);
  options.shards = 5;
  build_shards(options);
  const auto expected = folder_bytes(options.output);
  options.output = folder / "killed";
  build_and_kill(options, 2);
  build_with_ranks(options, 3);
  EXPECT_TRUE(folder_bytes(options.output) == expected);
}

TEST(Builder, RefusesToGoOnWithAnotherBuild) {
  const TemporaryFolder folder;
  BuildOptions options = testing::make_corpus_files(folder.path(), 100);
  options.shards = 3;
  build_and_kill(options, 1);
  const auto before = folder_bytes(options.output);
  BuildOptions other = options;
  other.shards = 2;
  EXPECT_THAT(usage_error([&] { build_shards(other); }), HasSubstr("unfinished build of other input or options"));
  const std::string lines = testing::read_file(folder / "c.json");
  testing::write_file(folder / "c.json", lines.substr(0, lines.find('\n') + 1));
  EXPECT_THAT(usage_error([&] { build_shards(options); }), HasSubstr("unfinished build of other input"));
  testing::write_file(folder / "c.json", lines);
  std::filesystem::last_write_time(folder / "c.json",
                                   std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_THAT(usage_error([&] { build_shards(options); }), AllOf(HasSubstr("c.json"), HasSubstr("has changed")));
  EXPECT_TRUE(folder_bytes(options.output) == before);
}

TEST(Builder, SaysThatAFinishedBuildIsFinished) {
  const TemporaryFolder folder;
  const BuildOptions options = testing::make_corpus_files(folder.path(), 100);
  const BuildReport first = build_shards(options);
  EXPECT_EQ(first.shards, 1);
  EXPECT_FALSE(first.already_finished);
  const auto before = folder_bytes(options.output);
  const BuildReport again = build_shards(options);
  EXPECT_TRUE(again.already_finished);
  EXPECT_EQ(again.tokens, first.tokens);
  BuildOptions other = options;
  other.compress = true;
  EXPECT_THAT(usage_error([&] { build_shards(other); }), HasSubstr("finished build of other input or options"));
  EXPECT_TRUE(folder_bytes(options.output) == before);
}

TEST(Builder, FindsWrongInputBeforeItWritesAnything) {
  const TemporaryFolder folder;
  BuildOptions options = testing::make_corpus_files(folder.path(), 100);
  const auto error = [&](const std::string& content) {
    testing::write_file(folder / "c.json", content);
    const std::string message = usage_error([&] { build_shards(options); });
    EXPECT_FALSE(std::filesystem::exists(options.output));
    return message;
  };
  EXPECT_THAT(error("{\"text\":\"fine\"}\nnope\n"), AllOf(HasSubstr("broken json on line 2 of "), HasSubstr("c.json")));
  EXPECT_THAT(error("{\"text\":\"\xFF\"}\n"), HasSubstr("invalid UTF-8 at line 1 byte 10 of "));
  EXPECT_THAT(error("{\"body\":\"b\"}\n"), HasSubstr("no field \"text\""));
  options.shards = 1000;
  EXPECT_THAT(error("{\"text\":\"fine\"}\n"), HasSubstr("--shards: got 1000, expected at most 67"));
  options.inputs = {(folder / "c.json").string()};
  options.shards = 0;
  EXPECT_THAT(error(""), HasSubstr("empty corpus"));
  EXPECT_THAT(error("{\"text\":\"\"}\n"), HasSubstr("empty corpus"));
  options.inputs = {(folder / "none.txt").string()};
  EXPECT_THAT(error(""), HasSubstr("no such file"));
}

TEST(Builder, TellsEveryRankOfWrongInput) {
  const TemporaryFolder folder;
  const BuildOptions options = testing::make_corpus_files(folder.path(), 100);
  testing::write_file(folder / "b.jsonl", "nope\n");
  std::barrier barrier(2);
  std::vector<std::string> messages(2);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      messages[static_cast<size_t>(rank)] = usage_error(
          [&] { build_shards(options, {.rank = rank, .world = 2, .barrier = [&] { barrier.arrive_and_wait(); }}); });
    });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_THAT(messages[0], HasSubstr("broken json on line 1 of "));
  EXPECT_EQ(messages[0], messages[1]);
  EXPECT_FALSE(std::filesystem::exists(options.output));
}

TEST(Builder, ReportsProgress) {
  const TemporaryFolder folder;
  BuildOptions options = testing::make_corpus_files(folder.path(), 300);
  options.shards = 3;
  int64_t counted = 0;
  BuildProgress last;
  build_shards(options, {}, [&](const BuildProgress& progress) {
    if (progress.stage == "counting") counted = progress.documents;
    EXPECT_GE(progress.documents, last.stage == progress.stage ? last.documents : 0);
    last = progress;
  });
  EXPECT_EQ(counted, 300);
  EXPECT_EQ(last.documents, 300);
  EXPECT_EQ(last.all_documents, 300);
  EXPECT_EQ(last.shards, 3);
}

TEST(Builder, BuildsPlainText) {
  const TemporaryFolder folder;
  testing::write_file(folder / "a.txt", "the river\n\nthe old house\n");
  const BuildOptions options{.inputs = {(folder / "a.txt").string()},
                             .tokenizer = testing::make_tokenizer(folder.path(), 120),
                             .output = folder / "lines",
                             .threads = 1};
  EXPECT_EQ(build_shards(options).documents, 3);
  BuildOptions files = options;
  files.output = folder / "files";
  files.source.text_unit = TextUnit::kFile;
  EXPECT_EQ(build_shards(files).documents, 1);
}

}  // namespace
}  // namespace synthesizer
