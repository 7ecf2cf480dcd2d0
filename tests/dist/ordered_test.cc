// `reduction: ORDERED`: weights and optimizer state are the same, bit by bit, on any number of data ranks, with any
// ZeRO stage, on any number of threads, and where a run changes all of these in its middle.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/dist/layout_run.h"
#include "tests/dist/run_checkpoint.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

struct OrderedRun {
  std::vector<StepResult> results;
  std::vector<std::string> state;
};

class Ordered : public testing::TestWithParam<LayoutSetting> {
 protected:
  // Steps [from, to), beginning with what an earlier run left in `before`, if it is named.
  OrderedRun train(Mesh2d mesh, int from, int to, const std::string& name, const std::string& before = "") {
    OrderedRun ordered;
    StepGraphOptions options = layout_options(GetParam(), DType::kFloat32);
    options.shape.batch = 8;
    on_mesh(options, default_layout(), mesh, [&](RankRun& run) {
      if (!before.empty()) load(run, folder_ / before);
      run.train(from, to - from);
      const std::vector<std::string> state = checksums(save(run, folder_ / name, to));
      if (run.mesh.rank() != 0) return;
      ordered.results = run.results;
      ordered.state = state;
    });
    return ordered;
  }

  TemporaryFolder folder_;
};

void expect_equal(const OrderedRun& a, const OrderedRun& b) {
  ASSERT_EQ(a.results.size(), b.results.size());
  for (size_t i = 0; i < a.results.size(); ++i) {
    EXPECT_EQ(a.results[i].loss, b.results[i].loss) << "step " << i;
    EXPECT_EQ(a.results[i].log_perplexity, b.results[i].log_perplexity) << "step " << i;
    EXPECT_EQ(a.results[i].gradient_norm, b.results[i].gradient_norm) << "step " << i;
  }
  ASSERT_EQ(a.state.size(), b.state.size());
  for (size_t i = 0; i < a.state.size(); ++i) EXPECT_EQ(a.state[i], b.state[i]);
}

constexpr int kLeaves = 4;

TEST_P(Ordered, SameBitsOnAnyRanksStageAndThreads) {
  const OrderedRun one = train({1, 1, 1, 0, kLeaves}, 0, 10, "one");
  int number = 0;
  for (const Mesh2d& mesh : {Mesh2d{2, 1, 1, 0, kLeaves}, Mesh2d{4, 1, 1, 0, kLeaves}, Mesh2d{1, 1, 1, 1, kLeaves},
                             Mesh2d{2, 1, 1, 1, kLeaves}, Mesh2d{4, 1, 1, 1, kLeaves}, Mesh2d{1, 1, 1, 2, kLeaves},
                             Mesh2d{2, 1, 1, 2, kLeaves}, Mesh2d{4, 1, 1, 2, kLeaves}, Mesh2d{1, 1, 1, 0, kLeaves, 2},
                             Mesh2d{2, 1, 1, 2, kLeaves, 2}}) {
    SCOPED_TRACE(text(mesh));
    expect_equal(train(mesh, 0, 10, "run" + std::to_string(number++)), one);
  }
}

TEST_P(Ordered, SameBitsWhereARunChangesItsRanks) {
  const OrderedRun one = train({1, 1, 1, 0, kLeaves}, 0, 50, "one");
  train({4, 1, 1, 0, kLeaves}, 0, 20, "first");
  train({1, 1, 1, 0, kLeaves, 2}, 20, 31, "second", "first");
  const OrderedRun end = train({2, 1, 1, 2, kLeaves}, 31, 50, "third", "second");
  EXPECT_EQ(end.state, one.state);
}

// What tensor ranks change is where products are cut; data ranks beside them still change nothing.
TEST_P(Ordered, SameBitsOnAnyDataRanksBesideTensorRanks) {
  const OrderedRun one = train({1, 2, 1, 0, kLeaves}, 0, 5, "one");
  expect_equal(train({2, 2, 1, 0, kLeaves}, 0, 5, "two"), one);
  expect_equal(train({4, 2, 1, 2, kLeaves}, 0, 5, "four"), one);
}

// The order is what makes the bits equal: FAST's differ.
TEST(OrderedTest, FastDiffers) {
  const auto state_of = [](Mesh2d mesh) {
    std::map<std::string, std::string> bytes;
    on_mesh(layout_options({"", "R+V", "D"}, DType::kFloat32), default_layout(), mesh, [&](RankRun& run) {
      run.train(0, 5);
      if (run.mesh.rank() != 0) return;
      for (const StateTensor& tensor : run.step.state().tensors())
        bytes[tensor.name].assign(reinterpret_cast<const char*>(tensor.data), static_cast<size_t>(tensor.type.bytes()));
    });
    return bytes;
  };
  EXPECT_TRUE(state_of({1, 1, 1, 0, kLeaves}) == state_of({4, 1, 1, 0, kLeaves}));
  EXPECT_FALSE(state_of({1, 1}) == state_of({4, 1}));
}

std::vector<LayoutSetting> settings() {
  const auto dropout = [](const char* name, const char* encoder, const char* decoder, OptimizerKind optimizer) {
    return LayoutSetting{name, encoder, decoder, Structure::kEncoderDecoder, optimizer, 0.1};
  };
  return {dropout("adafactor", "R+V", "D+FR", OptimizerKind::kAdafactor),
          dropout("adamw", "R+V", "D", OptimizerKind::kAdamW),
          dropout("convolutions", "DynConv", "LightConv", OptimizerKind::kAdafactor),
          dropout("fixed", "Fix", "FD+GLU", OptimizerKind::kAdafactor),
          {"decoder", "V", "V", Structure::kDecoder, OptimizerKind::kAdafactor, 0.1},
          {"classifier", "FR", "V", Structure::kEncoderClassifier, OptimizerKind::kAdafactor, 0.1},
          {"bfloat16", "R+V", "D", Structure::kEncoderDecoder, OptimizerKind::kAdafactor, 0.1, nullptr, true}};
}

INSTANTIATE_TEST_SUITE_P(Models, Ordered, testing::ValuesIn(settings()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace synthesizer
