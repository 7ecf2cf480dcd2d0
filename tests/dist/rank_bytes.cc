#include "tests/dist/rank_bytes.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <mutex>

namespace synthesizer {
namespace {

RankBytes bytes_of(const RankRun& run) {
  RankBytes bytes;
  for (const StateTensor& tensor : run.step.state().tensors())
    bytes[tensor.name].assign(reinterpret_cast<const char*>(tensor.data), static_cast<size_t>(tensor.type.bytes()));
  for (const StepResult& result : run.results)
    bytes[""] += fmt::format("{:a} {:a}\n", result.loss, result.gradient_norm);
  return bytes;
}

}  // namespace

std::vector<RankBytes> train_bytes(const StepGraphOptions& options, const Mesh2d& mesh,
                                   const std::function<void(const RankRun&)>& visit) {
  std::vector<RankBytes> ranks(static_cast<size_t>(mesh.data * mesh.tensor));
  std::mutex mutex;
  on_mesh(options, default_layout(), mesh, [&](RankRun& run) {
    visit(run);
    run.train(0, 3);
    const std::scoped_lock lock(mutex);
    ranks[static_cast<size_t>(run.mesh.rank())] = bytes_of(run);
  });
  return ranks;
}

void expect_same_bytes(const std::vector<RankBytes>& got, const std::vector<RankBytes>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t rank = 0; rank < expected.size(); ++rank) {
    ASSERT_GT(expected[rank].size(), 40u);
    ASSERT_EQ(got[rank].size(), expected[rank].size());
    for (const auto& [name, bytes] : expected[rank])
      EXPECT_TRUE(got[rank].at(name) == bytes) << "rank " << rank << ": " << name << " differs";
  }
}

}  // namespace synthesizer
