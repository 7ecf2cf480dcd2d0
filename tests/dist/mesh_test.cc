#include "dist/mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "dist/fake_communicator.h"
#include "dist/thread_communicator.h"

namespace synthesizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const MeshShape kTwoByThree{{{"data", 2}, {"tensor", 3}}};

TEST(Mesh, TensorVariesFastest) {
  EXPECT_THAT(mesh_coordinates(kTwoByThree, 0), ElementsAre(0, 0));
  EXPECT_THAT(mesh_coordinates(kTwoByThree, 2), ElementsAre(0, 2));
  EXPECT_THAT(mesh_coordinates(kTwoByThree, 3), ElementsAre(1, 0));
  for (int rank = 0; rank < 6; ++rank) EXPECT_EQ(mesh_rank(kTwoByThree, mesh_coordinates(kTwoByThree, rank)), rank);
  EXPECT_THROW(mesh_coordinates(kTwoByThree, 6), Error);
  EXPECT_THROW(mesh_rank(kTwoByThree, {0, 3}), Error);
}

TEST(Mesh, SizesOfAxes) {
  EXPECT_EQ(kTwoByThree.size(), 6);
  EXPECT_EQ(kTwoByThree.size("tensor"), 3);
  EXPECT_EQ(kTwoByThree.size("pipeline"), 1);
  EXPECT_EQ(to_string(kTwoByThree), "data=2 tensor=3");
}

TEST(Mesh, EachAxisJoinsTheRanksThatDifferOnItAlone) {
  run_ranks(6, [](Communicator& world) {
    const Mesh mesh(kTwoByThree, world);
    EXPECT_EQ(mesh.coordinate("data"), world.rank() / 3);
    EXPECT_EQ(mesh.coordinate("tensor"), world.rank() % 3);
    EXPECT_EQ(mesh.axis("data").rank(), mesh.coordinate("data"));
    EXPECT_EQ(mesh.axis("tensor").rank(), mesh.coordinate("tensor"));
    int32_t data = world.rank(), tensor = world.rank();
    mesh.axis("data").all_reduce(&data, 1, DType::kInt32, Reduction::kSum);
    mesh.axis("tensor").all_reduce(&tensor, 1, DType::kInt32, Reduction::kSum);
    EXPECT_EQ(data, 2 * (world.rank() % 3) + 3);
    EXPECT_EQ(tensor, 9 * (world.rank() / 3) + 3);
    EXPECT_THROW(mesh.axis("pipeline"), Error);
    if (world.rank() == 4) {
      EXPECT_EQ(mesh.describe(), "[rank 4/6 data=1 tensor=1]");
    }
  });
}

TEST(Mesh, AnAxisOfSizeZeroGetsTheRest) {
  EXPECT_EQ(complete_mesh({{{"data", 0}, {"tensor", 2}}}, 8), (MeshShape{{{"data", 4}, {"tensor", 2}}}));
  EXPECT_EQ(complete_mesh({{{"data", 0}, {"tensor", 1}}}, 1), (MeshShape{{{"data", 1}, {"tensor", 1}}}));
}

TEST(Mesh, WrongSizesAreUsageErrors) {
  const auto complete = [](MeshShape shape, int ranks) { return [=] { complete_mesh(shape, ranks); }; };
  EXPECT_THAT(complete(kTwoByThree, 4),
              ThrowsMessage<UsageError>(HasSubstr("mesh data=2 tensor=3: got 4 ranks, expected 6")));
  EXPECT_THAT(complete({{{"data", 0}, {"tensor", 3}}}, 4),
              ThrowsMessage<UsageError>(HasSubstr("got 4 ranks, expected a multiple of 3")));
  EXPECT_THAT(complete({{{"data", -1}}}, 1), ThrowsMessage<UsageError>(HasSubstr("data is -1")));
  EXPECT_THAT(complete({{{"data", 0}, {"tensor", 0}}}, 4), ThrowsMessage<UsageError>(HasSubstr("only one axis")));
  EXPECT_THAT(complete({{{"data", 2}, {"data", 2}}}, 4), ThrowsMessage<UsageError>(HasSubstr("axis 'data' twice")));
}

TEST(Mesh, FakeHasTheShapeAlone) {
  const Mesh mesh = Mesh::fake({{{"data", 64}, {"tensor", 8}}}, 65);
  EXPECT_EQ(mesh.world().size(), 512);
  EXPECT_EQ(mesh.axis("data").rank(), 8);
  EXPECT_EQ(mesh.axis("tensor").rank(), 1);
  EXPECT_EQ(mesh.axis("tensor").size(), 8);
}

TEST(FakeCommunicator, CountsCallsAndBytes) {
  FakeCommunicator fake(1, 4);
  float value = 3;
  fake.all_reduce(&value, 1000, DType::kFloat32, Reduction::kSum);
  fake.all_reduce(&value, 10'000, DType::kFloat64, Reduction::kMax);
  fake.reduce_scatter(nullptr, nullptr, 10, DType::kInt64, Reduction::kSum);
  fake.all_gather(nullptr, nullptr, 10, DType::kInt32);
  fake.all_to_all(nullptr, nullptr, 10, DType::kFloat32);
  fake.broadcast(nullptr, 100, 0);
  fake.barrier();
  EXPECT_EQ(value, 3);
  EXPECT_EQ(fake.traffic(Collective::kAllReduce), (Traffic{2, 3 * 4000 + 120'000}))
      << "the first is gathered, the second added in shares";
  EXPECT_EQ(fake.traffic(Collective::kReduceScatter), (Traffic{1, 240}));
  EXPECT_EQ(fake.traffic(Collective::kAllGather), (Traffic{1, 120}));
  EXPECT_EQ(fake.traffic(Collective::kAllToAll), (Traffic{1, 120}));
  EXPECT_EQ(fake.traffic(Collective::kBroadcast), (Traffic{1, 75}));
  EXPECT_EQ(fake.traffic(Collective::kBarrier), (Traffic{1, 0}));
  EXPECT_THROW(fake.split(0, 0), Error);
  EXPECT_THROW(FakeCommunicator(4, 4), Error);
}

}  // namespace
}  // namespace synthesizer
