// What a test of synthesizer_mpi_test gets: the program's main starts MPI and runs all tests on every rank.
#pragma once

#include "dist/mpi_environment.h"

namespace synthesizer {

// The running test program's MPI.
MpiEnvironment& mpi_test_environment();

}  // namespace synthesizer
