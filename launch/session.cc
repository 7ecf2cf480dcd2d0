#include "launch/session.h"

#include <fmt/format.h>
#include <mpi.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <string>
#include <thread>

#include "core/base/error.h"
#include "core/base/file.h"
#include "launch/cores.h"

namespace synthesizer {
namespace {

// How long a rank that failed waits for the others to fail too, before it ends the job.
constexpr std::chrono::milliseconds kPatience{2000};

// The first of the variables that is set: Open MPI's, then PMIx's (srun --mpi=pmix), then Slurm's own.
int from_environment(std::initializer_list<const char*> names, int otherwise) {
  for (const char* name : names)
    if (const char* value = std::getenv(name)) return std::atoi(value);
  return otherwise;
}

struct Failure {
  std::string message;
  int exit_code;
};

Failure describe(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const UsageError& error) {
    return {error.what(), 2};
  } catch (const std::bad_alloc&) {
    return {"out of memory. Lower data.batch or the model's sizes, or give each rank more", 1};
  } catch (const std::filesystem::filesystem_error& error) {
    return {fmt::format("could not go on with {}: {}", error.path1().string(), error.code().message()), 1};
  } catch (const std::exception& error) {
    return {error.what(), 1};
  }
}

}  // namespace

MpiCommunicator& Session::world() {
  if (!mpi_) mpi_.emplace(&argc_, &argv_);
  return mpi_->world();
}

MpiCommunicator Session::ranks_of_host() {
  world();
  MPI_Comm host = MPI_COMM_NULL;
  if (MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host) != MPI_SUCCESS)
    fail("MPI_Comm_split_type: could not tell the ranks of this host");
  return MpiCommunicator::adopt(host);
}

int Session::ranks_on_host() { return ranks_of_host().size(); }

int Session::rank_on_host() { return ranks_of_host().rank(); }

int Session::threads(int wanted) {
  MpiCommunicator host = ranks_of_host();
  return take_cores(host, wanted);
}

int Session::launched_rank() { return from_environment({"OMPI_COMM_WORLD_RANK", "PMIX_RANK"}, 0); }

int Session::launched_size() {
  const bool by_srun = std::getenv("PMIX_RANK") != nullptr;
  return by_srun ? from_environment({"OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}, 1)
                 : from_environment({"OMPI_COMM_WORLD_SIZE"}, 1);
}

void Session::require_alone(std::string_view command) {
  if (launched_size() > 1)
    fail_usage("{} is for one process: got {} ranks. Start it without mpirun or srun", command, launched_size());
}

void Session::together(const std::function<void()>& action) {
  const auto judged = [&] { as_input(action); };
  if (launched_size() > 1)
    run_together(world(), judged);
  else
    judged();
}

void Session::require_same(const Facts& facts) {
  if (launched_size() > 1) require_equal(world(), facts);
}

int Session::report(std::exception_ptr failure) {
  const Failure what = describe(failure);
  const int rank = mpi_ ? mpi_->world().rank() : launched_rank();
  const int size = mpi_ ? mpi_->world().size() : 1;
  const bool together = size == 1 || all_ranks_failed();
  if (rank == 0 || (mpi_ && !together)) {
    const std::string place = together ? "" : fmt::format(" [rank {}/{}]", rank, size);
    fmt::print(stderr, "error: {}{}\n", what.message, place);
    std::fflush(stderr);
  }
  if (!together) mpi_->abort(what.exit_code);
  return what.exit_code;
}

// Every rank that fails enters one more barrier; the ranks that go on never do.
bool Session::all_ranks_failed() {
  MPI_Request barrier = MPI_REQUEST_NULL;
  if (MPI_Ibarrier(MPI_COMM_WORLD, &barrier) != MPI_SUCCESS) return false;
  const auto end = std::chrono::steady_clock::now() + kPatience;
  int done = 0;
  while (MPI_Test(&barrier, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done == 0 &&
         std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return done != 0;
}

}  // namespace synthesizer
