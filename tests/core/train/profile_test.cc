// A profile of real steps, on ranks that are threads.
#include "core/train/profile.h"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/train/train_step.h"
#include "dist/parallel.h"
#include "dist/plan.h"
#include "dist/thread_communicator.h"
#include "tests/core/train/small_step.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr int64_t kSteps = 3, kDone = 5;

// Feeds numbers and takes steps, profiled or not; the state's bytes at the end.
std::string train(Communicator& world, const std::filesystem::path& folder, bool profiled) {
  const StepGraphOptions options = small_step("R+V", OptimizerConfig().kind, 4);
  const Mesh mesh({.axes = {{"data", world.size()}}}, world);
  const CpuKernelTable kernels(1);
  TrainStep step(training_graph(options, partition_for(mesh, {{{"batch", "data"}}})), options.optimizer, kernels,
                 axis_communicators(mesh));
  step.state().initialize(1);
  Program& program = step.program();
  const auto fill = [&](const char* name, auto value) {
    std::ranges::fill(program.input<decltype(value)>(name), value);
  };
  for (const char* name : {"inputs", "decoder_inputs", "targets"}) fill(name, int32_t{7});
  fill("weights", 1.0f);
  fill("denominator", 24.0f);

  std::optional<Profile> profile;
  ProfileOptions profiling;
  profiling.steps = kSteps;
  profiling.title = "rank";
  profiling.traffic = [&](const Graph& graph, const Node& node) {
    const CollectiveTotal total = collective_of(graph, node, mesh.shape());
    return NodeTraffic{total.axis, total.traffic.bytes};
  };
  if (profiled) profile.emplace(profiling, std::vector{&program}, world, kDone);
  for (int64_t done = kDone;; ++done) {
    if (profile) profile->begin_step(done);
    step.run([](Program&, int64_t) {}, done, 0.01);  // the batch is there already
    const bool last = done == kDone + kProfileWarmUp + kSteps - 1;
    if (profile) {
      EXPECT_EQ(profile->end_step(), last);
    }
    if (last) break;
  }
  if (profile) {
    EXPECT_THAT(profile->write(folder), HasSubstr("3 steps from 8"));
  }
  std::string bytes;
  for (const StateTensor& tensor : step.state().tensors())
    bytes.append(reinterpret_cast<const char*>(tensor.data), static_cast<size_t>(tensor.type.bytes()));
  return bytes;
}

TEST(Profile, HasEveryNodeOnceAStepAndChangesNothing) {
  const TemporaryFolder folder;
  run_ranks(2, [&](Communicator& world) {
    const std::string plain = train(world, folder / "none", false);
    EXPECT_TRUE(train(world, folder / "profile", true) == plain) << "a profile changes the bits";
  });
  EXPECT_FALSE(std::filesystem::exists(folder / "none"));

  const Mesh mesh = Mesh::fake({.axes = {{"data", 2}}}, 0);
  const auto graph =
      training_graph(small_step("R+V", OptimizerConfig().kind, 4), partition_for(mesh, {{{"batch", "data"}}}));
  std::map<std::string, int64_t> expected;  // nodes that run, by name
  for (const Node& node : graph->nodes())
    if (!runs_nothing(node)) expected[node.name] = kSteps;

  const auto trace = nlohmann::json::parse(read_text_file(folder / "profile/trace.json"));
  for (int rank = 0; rank < 2; ++rank) {
    std::map<std::string, int64_t> counted;
    double first = 1e300, last = 0;  // of the steps
    std::map<int, std::vector<std::pair<double, double>>> lanes;
    for (const auto& event : trace.at("traceEvents")) {
      if (event.at("pid") != rank || event.at("ph") != "X") continue;
      const double begin = event.at("ts"), end = begin + event.at("dur").get<double>();
      if (event.at("cat") == "step") {
        first = std::min(first, begin);
        last = std::max(last, end);
        continue;
      }
      lanes[event.at("tid")].emplace_back(begin, end);
      const std::string name = event.at("name");
      if (!name.starts_with("wait for ")) ++counted[name];
    }
    EXPECT_EQ(counted, expected);
    EXPECT_GE(first, 0);
    ASSERT_EQ(lanes.size(), 2u);
    for (auto& [lane, spans] : lanes) {
      std::sort(spans.begin(), spans.end());
      EXPECT_GE(spans.front().first, first);
      EXPECT_LE(spans.back().second, last + 1e-3);
      for (size_t i = 1; i < spans.size(); ++i) EXPECT_GE(spans[i].first, spans[i - 1].second - 2e-3);
    }
  }
}

TEST(Profile, WritesNothingWhereItCannot) {
  const TemporaryFolder folder;
  const std::string file = folder.write("file", "");
  run_ranks(2, [&](Communicator& world) { EXPECT_ANY_THROW(train(world, file, true)); });
}

TEST(Profile, NeedsStepsToBeLeft) {
  EXPECT_NO_THROW(require_profiled_steps(1, 3));
  EXPECT_NO_THROW(require_profiled_steps(100, 102));
  EXPECT_THAT([] { require_profiled_steps(0, 9); },
              ThrowsMessage<UsageError>(HasSubstr("--profile: got 0, expected 1")));
  EXPECT_THAT([] { require_profiled_steps(101, 900); }, ThrowsMessage<UsageError>(HasSubstr("got 101")));
  EXPECT_THAT([] { require_profiled_steps(3, 4); },
              ThrowsMessage<UsageError>(HasSubstr("got 3, expected at most 2: 4 step(s) are left")));
  EXPECT_THAT([] { require_profiled_steps(1, 0); }, ThrowsMessage<UsageError>(HasSubstr("expected at most 0")));
}

}  // namespace
}  // namespace synthesizer
