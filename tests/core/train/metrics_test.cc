#include "core/train/metrics.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "tests/support/file_faults.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class Metrics : public ::testing::Test {
 protected:
  void write_steps(int64_t first, int64_t last) {
    MetricsWriter writer(path_);
    for (int64_t step = first; step <= last; ++step) {
      writer.write(TrainingMetrics{.step = step, .loss = 10.0 / static_cast<double>(step), .seconds = 0.5});
      if (step % 5 == 0) writer.write(ValidationMetrics{step, {{"validation_loss", 3.25}}});
    }
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "metrics.jsonl";
};

TEST_F(Metrics, OneObjectALine) {
  MetricsWriter writer(path_);
  writer.write(TrainingMetrics{.step = 10,
                               .loss = 6.7890123456789,
                               .log_perplexity = 2.0 / 3,
                               .learning_rate = 1e-3,
                               .gradient_norm = std::nan(""),
                               .seconds = 0.25,
                               .tokens_per_second = 12345.678912345,
                               .model_flop_utilisation = 0.5,
                               .memory_bytes = 12345678901234});
  writer.write(ValidationMetrics{10, {{"validation_loss", 7}, {"validation_log_perplexity", 6.5}}});
  EXPECT_EQ(read_text_file(path_),
            "{\"step\":10,\"loss\":6.78901235,\"log_perplexity\":0.666666667,\"learning_rate\":0.001,"
            "\"gradient_norm\":null,\"seconds\":0.25,\"tokens_per_second\":12345.6789,\"model_flop_utilisation\":0.5,"
            "\"memory_bytes\":12345678901234}\n"
            "{\"step\":10,\"validation_loss\":7,\"validation_log_perplexity\":6.5}\n");
  EXPECT_THAT(
      [&] {
        writer.write(ValidationMetrics{10, {{"loss", 1}}});
      },
      ThrowsMessage<Error>(HasSubstr("field loss")));
}

TEST_F(Metrics, TimingFieldsAreFieldsOfTrainingLines) {
  const NamedValues values = named_values({});
  for (const std::string& name : kTimingFields)
    EXPECT_TRUE(std::any_of(values.begin(), values.end(), [&](const auto& value) { return value.first == name; }))
        << name;
}

TEST_F(Metrics, AResumedRunGivesTheSameBytes) {
  write_steps(1, 20);
  const std::string whole = read_text_file(path_);
  for (int64_t step = 0; step <= 20; ++step) {
    truncate_metrics(path_, step);
    write_steps(step + 1, 20);
    ASSERT_EQ(read_text_file(path_), whole) << step;
  }
}

TEST_F(Metrics, ATornLastLineIsDropped) {
  const FileFaults no_syncs(Fault::kNone, 0);
  write_steps(1, 3);
  const std::string whole = read_text_file(path_);
  const size_t second_end = whole.find('\n', whole.find('\n') + 1) + 1;
  for (size_t bytes = second_end; bytes < whole.size(); ++bytes) {
    File(path_, O_WRONLY | O_TRUNC).append(whole.substr(0, bytes));
    truncate_metrics(path_, 3);
    ASSERT_EQ(read_text_file(path_), whole.substr(0, second_end)) << bytes;
  }
}

TEST_F(Metrics, OtherLinesMustBeWhole) {
  File(path_, O_WRONLY | O_CREAT).append("{\"step\":1}\n{\"st\n{\"step\":3}\n");
  EXPECT_THAT([&] { truncate_metrics(path_, 5); },
              ThrowsMessage<UsageError>(HasSubstr(path_.string() + ": line 2 is not a JSON object with a step")));
  truncate_metrics(folder_ / "none", 5);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "none"));
}

}  // namespace
}  // namespace synthesizer
