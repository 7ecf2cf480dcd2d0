#include "data/loader.h"

#include <gmock/gmock.h>

#include <map>
#include <numeric>

#include "data/inspect.h"
#include "tests/data/allocation_count.h"
#include "tests/data/support.h"

namespace synthesizer {
namespace {

using synthesizer::TemporaryFolder;
using ::testing::HasSubstr;
using testing::usage_error;

constexpr ObjectiveOptions kSmall{.input_length = 31};
constexpr ObjectiveOptions kCausal{.kind = ObjectiveKind::kCausal, .input_length = 0, .target_length = 16};

class LoaderTest : public ::testing::Test {
 protected:
  Loader load(const LoaderOptions& options, const ObjectiveOptions& objective = kSmall) const {
    Corpus corpus(shards_);
    const CorpusRange range = corpus.all();
    const Objective chosen(objective, corpus.tokenizer().vocabulary());
    return Loader(std::move(corpus), range, chosen, options);
  }
  std::vector<int32_t> stream() const {
    Corpus corpus(shards_);
    std::vector<int32_t> all(static_cast<size_t>(corpus.tokens()));
    corpus.read(0, all);
    return all;
  }

  TemporaryFolder folder_;
  std::filesystem::path shards_ = testing::make_shards(folder_.path(), 200, 3);
};

std::vector<int32_t> inputs_of(const ExampleBatch& batch) { return {batch.inputs.begin(), batch.inputs.end()}; }

// A causal row is its window, so that what was read can be told from the batches.
std::map<std::vector<int32_t>, int> windows_of(const std::vector<int32_t>& stream, int64_t length) {
  std::map<std::vector<int32_t>, int> windows;
  for (size_t begin = 0; begin + static_cast<size_t>(length) <= stream.size(); begin += static_cast<size_t>(length)) {
    const auto at = stream.begin() + static_cast<std::ptrdiff_t>(begin);
    ++windows[std::vector<int32_t>(at, at + length)];
  }
  return windows;
}

TEST_F(LoaderTest, ReadsEveryWindowOnceAnEpochOnAnyNumberOfRanks) {
  const auto expected = windows_of(stream(), 16);
  const int64_t size = load({.batch = 12, .begin = 0, .end = 12}, kCausal).windows();
  ASSERT_GT(size, 100);
  for (const int64_t ranks : {1, 2, 3, 4}) {
    for (int64_t epoch = 0; epoch < 2; ++epoch) {
      std::map<std::vector<int32_t>, int> seen;
      for (int64_t rank = 0; rank < ranks; ++rank) {
        const int64_t begin = rank * 12 / ranks;
        Loader loader =
            load({.batch = 12, .begin = begin, .end = (rank + 1) * 12 / ranks, .start = {epoch, 0}}, kCausal);
        for (int64_t example = 0; example < size; example += 12) {
          const ExampleBatch& batch = *loader.next();
          ASSERT_EQ(batch.position, (ExamplePosition{epoch, example}));
          for (int64_t row = 0; row < batch.rows; ++row) {
            if (example + begin + row >= size) continue;  // of the next epoch
            const auto tokens = batch.targets.subspan(static_cast<size_t>(row * 16), 16);
            ++seen[std::vector<int32_t>(tokens.begin(), tokens.end())];
          }
        }
      }
      EXPECT_TRUE(seen == expected) << ranks << " ranks, epoch " << epoch;
    }
  }
}

TEST_F(LoaderTest, GivesRanksTheRowsOfTheWholeBatch) {
  Loader whole = load({.batch = 6, .begin = 0, .end = 6});
  Loader part = load({.batch = 6, .begin = 2, .end = 4});
  for (int i = 0; i < 20; ++i) {
    const ExampleBatch& all = *whole.next();
    const ExampleBatch& some = *part.next();
    ASSERT_TRUE(std::equal(some.inputs.begin(), some.inputs.end(), all.inputs.begin() + 2 * 31));
    ASSERT_TRUE(std::equal(some.targets.begin(), some.targets.end(),
                           all.targets.begin() + static_cast<std::ptrdiff_t>(2 * all.targets.size() / 6)));
    EXPECT_EQ(some.global_live_targets, all.live_targets);
    EXPECT_EQ(some.live_targets * 3, all.live_targets);
  }
}

TEST_F(LoaderTest, GivesARankItsRowsOfEachMicroBatch) {
  Loader whole = load({.batch = 8, .begin = 0, .end = 8});
  Loader part = load({.batch = 8, .begin = 2, .end = 4, .pieces = 2, .stride = 4});  // rows 2, 3, 6, 7
  const ptrdiff_t row = 31;
  for (int i = 0; i < 20; ++i) {
    const ExampleBatch& all = *whole.next();
    const ExampleBatch& some = *part.next();
    ASSERT_EQ(some.rows, 4);
    ASSERT_TRUE(std::equal(some.inputs.begin(), some.inputs.begin() + 2 * row, all.inputs.begin() + 2 * row));
    ASSERT_TRUE(std::equal(some.inputs.begin() + 2 * row, some.inputs.end(), all.inputs.begin() + 6 * row));
    EXPECT_EQ(some.live_targets * 2, all.live_targets);
  }
  EXPECT_THAT(usage_error([&] { load({.batch = 8, .begin = 2, .end = 4, .pieces = 3, .stride = 4}); }),
              HasSubstr("batch: got rows 2 to 12 of 8"));
}

TEST_F(LoaderTest, GoesOnWhereABatchEnded) {
  Loader first = load({.batch = 8, .begin = 0, .end = 8, .seed = 3});
  const int64_t batches = 2 * first.windows() / 8 + 3;  // into the third epoch
  std::vector<std::vector<int32_t>> inputs;
  std::vector<ExamplePosition> next;
  for (int64_t i = 0; i < batches; ++i) {
    const ExampleBatch& batch = *first.next();
    inputs.push_back(inputs_of(batch));
    next.push_back(batch.next);
  }
  for (const int64_t cut : {int64_t{0}, int64_t{5}, batches / 2, batches - 4}) {
    Loader resumed = load({.batch = 8, .begin = 0, .end = 8, .seed = 3, .start = next[static_cast<size_t>(cut)]});
    for (int64_t i = cut + 1; i < std::min(batches, cut + 4); ++i) {
      EXPECT_EQ(inputs_of(*resumed.next()), inputs[static_cast<size_t>(i)]) << cut;
    }
  }
}

TEST_F(LoaderTest, StartsAnywhereWithoutWorkForWhatLiesBefore) {
  Loader loader = load({.batch = 8, .begin = 0, .end = 8, .start = {0, 1'000'000'000}, .prefetch = 2});
  const ExampleBatch& batch = *loader.next();
  EXPECT_EQ(batch.position, advance_position({0, 1'000'000'000}, 0, loader.windows()));
  EXPECT_LE(loader.rows_made(), 3 * 8);  // what was taken and what may be prepared
}

TEST_F(LoaderTest, AllocatesNothingInNext) {
  Loader loader = load({.batch = 8, .begin = 0, .end = 8});
  loader.next();
  testing::count_allocations();
  int64_t live = 0;
  for (int i = 0; i < 100; ++i) live += loader.next()->live_targets;
  EXPECT_EQ(testing::allocations_counted(), 0);
  EXPECT_EQ(live, 100 * 8 * loader.objective().live_targets());
}

TEST_F(LoaderTest, RecyclesItsBuffers) {
  Loader loader = load({.batch = 4, .begin = 0, .end = 4, .prefetch = 2});
  std::map<const int32_t*, int> buffers;
  for (int i = 0; i < 30; ++i) ++buffers[loader.next()->inputs.data()];
  EXPECT_EQ(buffers.size(), 3u);
}

TEST_F(LoaderTest, EvaluatesInOrderAndFillsTheLastBatch) {
  Loader loader = load({.batch = 16, .begin = 0, .end = 16, .order = ExampleOrder::kSequential}, kCausal);
  const std::vector<int32_t> all = stream();
  const int64_t windows = loader.windows();
  ASSERT_NE(windows % 16, 0);
  for (int pass = 0; pass < 2; ++pass) {
    std::vector<int32_t> read;
    int64_t batches = 0;
    int64_t live = 0;
    while (const ExampleBatch* batch = loader.next()) {
      ++batches;
      EXPECT_EQ(batch->live_targets, batch->global_live_targets);
      EXPECT_EQ(std::accumulate(batch->weights.begin(), batch->weights.end(), 0.0f),
                static_cast<float>(batch->live_targets));
      live += batch->live_targets;
      for (size_t i = 0; i < batch->targets.size(); ++i) {
        if (batch->weights[i] != 0) read.push_back(batch->targets[i]);
      }
    }
    EXPECT_EQ(loader.next(), nullptr);
    EXPECT_EQ(batches, loader.batches());
    EXPECT_EQ(live, windows * 16);
    EXPECT_TRUE(std::equal(read.begin(), read.end(), all.begin(), all.begin() + windows * 16));
    loader.seek({});
  }
}

TEST_F(LoaderTest, EvaluatesAPartIfAskedTo) {
  Loader loader = load({.batch = 4, .begin = 2, .end = 4, .order = ExampleOrder::kSequential, .max_batches = 3});
  EXPECT_EQ(loader.batches(), 3);
  for (int i = 0; i < 3; ++i) ASSERT_NE(loader.next(), nullptr);
  EXPECT_EQ(loader.next(), nullptr);
}

TEST_F(LoaderTest, SharesTheLastBatchBetweenRanks) {
  int64_t live = 0;
  int64_t global = 0;
  for (int64_t rank = 0; rank < 4; ++rank) {
    Loader loader =
        load({.batch = 16, .begin = 4 * rank, .end = 4 * rank + 4, .order = ExampleOrder::kSequential}, kCausal);
    global = 0;
    while (const ExampleBatch* batch = loader.next()) {
      live += batch->live_targets;
      global += batch->global_live_targets;
    }
  }
  EXPECT_EQ(live, global);
}

TEST_F(LoaderTest, TellsOfDamageWhereItIsRead) {
  const std::filesystem::path shard = shards_ / "part-00002.h5";
  const auto output = testing::run_program("/usr/bin/python3 -c \"import h5py; print(h5py.File('" + shard.string() +
                                           "', 'r')['tokens'].id.get_chunk_info(0).byte_offset)\"");
  testing::flip_byte(shard, std::stoull(output.text) + 10);
  Loader loader = load({.batch = 8, .begin = 0, .end = 8, .order = ExampleOrder::kSequential});
  const auto read_all = [&] {
    while (loader.next() != nullptr) {
    }
  };
  EXPECT_THAT(usage_error(read_all), AllOf(HasSubstr("part-00002.h5"), HasSubstr("/tokens chunk 0")));
  EXPECT_THAT(usage_error([&] { loader.next(); }), HasSubstr("part-00002.h5"));
}

TEST_F(LoaderTest, RefusesTooLittleText) {
  EXPECT_THAT(usage_error([&] {
                load({.batch = 1, .begin = 0, .end = 1},
                     {.kind = ObjectiveKind::kCausal, .input_length = 0, .target_length = 100'000});
              }),
              HasSubstr("are not enough"));
  EXPECT_THAT(usage_error([&] { load({.batch = 4, .begin = 2, .end = 6}); }), HasSubstr("rows 2 to 6 of 4"));
}

TEST_F(LoaderTest, InspectShowsWhatTheModelSees) {
  const ShardsDescription description = inspect_shards(shards_);
  EXPECT_EQ(description.documents, 200);
  EXPECT_EQ(description.shards, 3);
  EXPECT_EQ(description.pieces, 120);
  EXPECT_EQ(description.vocab_size, 256);
  EXPECT_THAT(description.schema, ::testing::Contains(::testing::Pair("/tokens", HasSubstr("fletcher32"))));
  EXPECT_EQ(inspect_shards(shards_ / "part-00000.h5").documents, 66);
  const std::vector<ExampleText> examples = inspect_examples(shards_, {.input_length = 64}, 1, 3);
  ASSERT_EQ(examples.size(), 3u);
  for (const ExampleText& example : examples) {
    EXPECT_THAT(example.inputs,
                AllOf(HasSubstr("<extra_id_0>"), HasSubstr("<extra_id_2> "), ::testing::EndsWith("</s>")));
    EXPECT_THAT(example.targets, AllOf(::testing::StartsWith("<extra_id_0>"), ::testing::EndsWith("</s>")));
  }
  EXPECT_THAT(usage_error([&] { inspect_shards(folder_ / "none"); }), HasSubstr("is missing"));
}

}  // namespace
}  // namespace synthesizer
