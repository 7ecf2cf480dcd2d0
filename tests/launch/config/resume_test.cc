// What may differ between a run and the configuration it is resumed with.
#include "launch/config/resume.h"

#include <gmock/gmock.h>

#include "launch/config/load.h"
#include "tests/launch/messages.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string resume_with(const std::string& assignment) {
  const TemporaryFolder folder;
  const std::string file = folder.write("a.txtpb", "freeze: \"embedding\"");
  return usage_message([&] { check_resume(load_run(file, {}), load_run(file, {assignment})); });
}

TEST(Resume, FieldsThatMayDiffer) {
  for (const std::string assignment :
       {"steps=5", "parallel.mesh.data=4", "parallel.mesh.tensor=2", "parallel.layout=batch:data", "parallel.zero=1",
        "parallel.microbatches=2", "recompute=BLOCK", "device=CUDA", "log.every=3", "eval.every=7", "eval.batches=1",
        "checkpoint.every=3", "checkpoint.keep=9", "seed=1"})
    EXPECT_EQ(resume_with(assignment), "") << assignment;
}

TEST(Resume, FieldsThatMayNotDiffer) {
  const std::pair<std::string, std::string> cases[] = {
      {"seed=2", "seed: got 2, but the run's checkpoint was written with 1."},
      {"model.encoder.attention=R+V",
       "model.encoder.attention: got \"R+V\", but the run's checkpoint was written with \"V\"."},
      {"data.batch=64", "data.batch: got 64, but the run's checkpoint was written with 128."},
      {"precision=BF16", "precision: got BF16, but the run's checkpoint was written with FP32."},
      {"parallel.reduction=ORDERED",
       "parallel.reduction: got ORDERED, but the run's checkpoint was written with FAST."},
      {"parallel.wire=BF16", "parallel.wire: got BF16, but the run's checkpoint was written with FULL."},
      {"parallel.leaves=8", "parallel.leaves: got 8, but"},
      {"optimizer.kind=ADAMW", "optimizer.kind: got ADAMW, but"},
      {"schedule.warmup=1", "schedule.warmup: got 1, but the run's checkpoint was written with 10000."},
      {"freeze=", "freeze: got [], but the run's checkpoint was written with [\"embedding\"]."},
      {"freeze=embedding,encoder", "freeze: got [\"embedding\", \"encoder\"], but"},
  };
  for (const auto& [assignment, message] : cases)
    EXPECT_THAT(resume_with(assignment), AllOf(HasSubstr(message), HasSubstr("another folder (--run)"))) << assignment;
}

}  // namespace
}  // namespace synthesizer
