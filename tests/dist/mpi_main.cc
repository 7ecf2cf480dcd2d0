// The main of tests that run under mpirun: it fails if any rank fails. A rank that leaves a test early (an ASSERT or an
// exception) aborts the job, as the others may wait for it in a collective.
#include "tests/dist/mpi_main.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace synthesizer {
namespace {

MpiEnvironment* environment = nullptr;

class AbortOnFatalFailure : public ::testing::EmptyTestEventListener {
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (result.fatally_failed()) environment->abort(EXIT_FAILURE);
  }
};

}  // namespace

MpiEnvironment& mpi_test_environment() { return *environment; }

}  // namespace synthesizer

int main(int argc, char** argv) {
  synthesizer::MpiEnvironment mpi(&argc, &argv);
  synthesizer::environment = &mpi;
  ::testing::InitGoogleTest(&argc, argv);
  // Appended, so that the failure is printed first.
  ::testing::UnitTest::GetInstance()->listeners().Append(new synthesizer::AbortOnFatalFailure);
  int32_t failed = RUN_ALL_TESTS();
  mpi.world().all_reduce(&failed, 1, synthesizer::DType::kInt32, synthesizer::Reduction::kMax);
  return failed;
}
