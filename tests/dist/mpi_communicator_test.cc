// Run by mpirun on 2 and 4 ranks, and alone.
#include "dist/mpi_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "dist/mesh.h"
#include "dist/thread_communicator.h"
#include "tests/dist/collectives.h"
#include "tests/dist/mpi_main.h"

namespace {
std::atomic<int64_t> g_looks{0};  // of this process, whether messages have come
}  // namespace

// Stands between the program and MPI.
extern "C" int MPI_Testall(int count, MPI_Request* requests, int* done, MPI_Status* statuses) {
  ++g_looks;
  return PMPI_Testall(count, requests, done, statuses);
}

namespace synthesizer {
namespace {

Communicator& world() { return mpi_test_environment().world(); }

// Values of very different sizes, so that any other order of addition gives other bits.
template <typename T>
std::vector<T> rough(int rank, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const PhiloxCounter bits = philox({static_cast<uint32_t>(i), static_cast<uint32_t>(rank), 0, 0}, philox_key(5));
    values[static_cast<size_t>(i)] =
        static_cast<T>(std::ldexp(uniform_double(bits[0], bits[1]) - 0.5, static_cast<int>(bits[2] % 40)));
  }
  return values;
}

TEST(MpiCommunicator, EveryCollective) { check_collectives(world()); }

TEST(MpiCommunicator, Split) { check_split(world()); }

// The same bits as ranks that are threads: sums in one tree, by either path of all_reduce and by reduce_scatter.
template <typename T>
void check_bits(int64_t count) {
  const int size = world().size();
  std::vector<T> sums, blocks(static_cast<size_t>(count));
  run_ranks(size, [&](Communicator& threads) {
    std::vector<T> data = rough<T>(threads.rank(), count * size);
    threads.all_reduce(data.data(), count * size, kDTypeOf<T>, Reduction::kSum);
    if (threads.rank() == world().rank()) sums = data;
  });
  std::vector<T> data = rough<T>(world().rank(), count * size);
  world().reduce_scatter(data.data(), blocks.data(), count, kDTypeOf<T>, Reduction::kSum);
  world().all_reduce(data.data(), count * size, kDTypeOf<T>, Reduction::kSum);
  EXPECT_EQ(std::memcmp(data.data(), sums.data(), sums.size() * sizeof(T)), 0) << count;
  EXPECT_EQ(std::memcmp(blocks.data(), sums.data() + world().rank() * count, blocks.size() * sizeof(T)), 0) << count;
}

TEST(MpiCommunicator, BitsOfTheThreadCommunicator) {
  for (const int64_t count : {1, 31, 33, 511, 100003}) {
    check_bits<float>(count);
    check_bits<double>(count);
  }
}

// The same of sums that travel as bfloat16: short, in one piece and in several, the last of them odd.
TEST(MpiCommunicator, BitsOfTheThreadCommunicatorRounded) {
  const int size = world().size();
  for (const int64_t count : {int64_t{1}, int64_t{31}, int64_t{511}, int64_t{100003}, (int64_t{2} << 20) + 33}) {
    const auto scattered = static_cast<size_t>(count / size);
    std::vector<float> sums, blocks;
    run_ranks(size, [&](Communicator& threads) {
      std::vector<float> data = rough<float>(threads.rank(), count), part(scattered);
      threads.reduce_scatter_rounded(data.data(), part.data(), count / size);
      threads.all_reduce_rounded(data.data(), count);
      if (threads.rank() != world().rank()) return;
      sums = data;
      blocks = part;
    });
    std::vector<float> data = rough<float>(world().rank(), count), part(scattered);
    world().reduce_scatter_rounded(data.data(), part.data(), count / size);
    world().all_reduce_rounded(data.data(), count);
    EXPECT_EQ(std::memcmp(data.data(), sums.data(), sums.size() * sizeof(float)), 0) << count;
    EXPECT_EQ(std::memcmp(part.data(), blocks.data(), part.size() * sizeof(float)), 0) << count;
    EXPECT_TRUE(same_on_all(world(), data)) << count;
  }
}

// Longer than one piece, and not a multiple of it.
TEST(MpiCommunicator, LongBuffers) {
  const int64_t count = (int64_t{5} << 20) + 3;
  check_reductions<float>(world(), count, Reduction::kSum);
  check_moves<float>(world(), count);
  check_rounded_sums(world(), count);
}

TEST(MpiCommunicator, NanSurvivesTheMaximum) {
  for (const int64_t count : {1, 100003}) {
    for (int holder = 0; holder < world().size(); ++holder) {
      std::vector<float> data(static_cast<size_t>(count), static_cast<float>(world().rank()));
      if (world().rank() == holder) data.back() = std::numeric_limits<float>::quiet_NaN();
      world().all_reduce(data.data(), count, DType::kFloat32, Reduction::kMax);
      EXPECT_TRUE(std::isnan(data.back()));
    }
  }
}

// A rank that waits looks for what it waits for again and again. Ranks that wait for a late one leave the cores to it,
// also where there are fewer cores than ranks: after a first thousand looks each comes after a nap, of half a
// millisecond in the end. However long it takes on a busy machine, there are no more looks than naps have room for.
TEST(MpiCommunicator, WaitingIsNaps) {
  constexpr auto kLate = std::chrono::milliseconds(250);
  std::vector<float> data(100'003), all(data.size() * static_cast<size_t>(world().size()));
  const auto count = static_cast<int64_t>(data.size());
  const std::pair<const char*, std::function<void()>> calls[] = {
      {"all_reduce of one", [&] { world().all_reduce(data.data(), 1, DType::kFloat32, Reduction::kSum); }},
      {"all_reduce", [&] { world().all_reduce(data.data(), count, DType::kFloat32, Reduction::kSum); }},
      {"all_reduce_rounded", [&] { world().all_reduce_rounded(data.data(), count); }},
      {"all_gather", [&] { world().all_gather(data.data(), all.data(), count, DType::kFloat32); }},
      {"broadcast", [&] { world().broadcast(data.data(), count, 0); }},
      {"barrier", [&] { world().barrier(); }}};
  for (const auto& [name, call] : calls) {
    world().barrier();
    if (world().rank() == 0) std::this_thread::sleep_for(kLate);
    const int64_t before = g_looks.load();
    const auto start = std::chrono::steady_clock::now();
    call();
    const double milliseconds =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    // A call waits twice at most; from the first nap of 10 us to that of 500 us are 34.
    const int64_t looks = g_looks.load() - before;
    EXPECT_LE(static_cast<double>(looks), 2 * (1024 + 34 + 2) + milliseconds / 0.5) << name;
    EXPECT_TRUE(world().size() == 1 || looks > 0) << name;
  }
}

// Two communicators used at once by two threads of each rank, as training does.
TEST(MpiCommunicator, TwoThreads) {
  const auto other = world().split(0, world().rank());
  std::jthread thread([&] { check_collectives_of<float>(*other); });
  check_collectives_of<double>(world());
}

TEST(MpiCommunicator, ErrorsOfMpiAreErrors) {
  MpiCommunicator copy(MPI_COMM_WORLD);
  EXPECT_THROW(copy.broadcast(nullptr, 1, copy.size()), Error);
  EXPECT_THROW(copy.split(-1, 0), Error);
  // What MPI itself refuses comes with its message.
  EXPECT_THAT([&] { MpiCommunicator bad(MPI_COMM_NULL); },
              ::testing::ThrowsMessage<Error>(::testing::HasSubstr("MPI_Comm_dup: MPI_ERR_COMM")));
}

TEST(Mesh, AxesOfTheWorld) {
  const Mesh mesh({{{"data", 0}, {"tensor", world().size() > 1 ? 2 : 1}}}, world());
  const int tensor = mesh.shape().size("tensor");
  EXPECT_EQ(mesh.axis("tensor").size(), tensor);
  EXPECT_EQ(mesh.axis("tensor").rank(), world().rank() % tensor);
  EXPECT_EQ(mesh.axis("data").size(), world().size() / tensor);
  EXPECT_EQ(mesh.axis("data").rank(), world().rank() / tensor);
  check_collectives_of<float>(mesh.axis("data"));
  check_collectives_of<float>(mesh.axis("tensor"));
}

}  // namespace
}  // namespace synthesizer
