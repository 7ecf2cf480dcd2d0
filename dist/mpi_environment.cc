#include "dist/mpi_environment.h"

#include <mpi.h>

#include <cstdlib>
#include <exception>

#include "core/base/error.h"

namespace synthesizer {

MpiEnvironment::MpiEnvironment(int* argc, char*** argv) : exceptions_(std::uncaught_exceptions()) {
  int initialized = 0, granted = MPI_THREAD_SINGLE;
  MPI_Initialized(&initialized);
  CHECK(!initialized, "MPI is already initialized in this process");
  if (const int code = MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &granted); code != MPI_SUCCESS)
    fail("MPI_Init_thread: error {}", code);
  if (granted < MPI_THREAD_MULTIPLE) {
    MPI_Finalize();
    fail(
        "MPI does not let several threads communicate: got thread level {}, expected {} (MPI_THREAD_MULTIPLE). "
        "Use an MPI that is built with it, as Debian's Open MPI is",
        granted, MPI_THREAD_MULTIPLE);
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  world_.emplace(MPI_COMM_WORLD);
}

MpiEnvironment::~MpiEnvironment() {
  if (std::uncaught_exceptions() > exceptions_) abort(EXIT_FAILURE);
  world_.reset();
  MPI_Finalize();
}

void MpiEnvironment::abort(int code) {
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

}  // namespace synthesizer
