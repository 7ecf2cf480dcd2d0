#include "core/train/tensorboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/train/tensorboard.pb.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using ::testing::StartsWith;

// The file's events, each record's length and both checksums verified.
std::vector<tensorboard::Event> read_events(const std::filesystem::path& path) {
  const std::string bytes = read_text_file(path);
  std::vector<tensorboard::Event> events;
  size_t at = 0;
  const auto take = [&](auto& number) {
    std::memcpy(&number, bytes.data() + at, sizeof number);
    at += sizeof number;
  };
  while (at + 16 <= bytes.size()) {
    uint64_t length = 0;
    uint32_t crc = 0;
    take(length);
    take(crc);
    EXPECT_EQ(crc, masked_crc32c({bytes.data() + at - 12, 8}));
    const std::string data = bytes.substr(at, length);
    at += length;
    take(crc);
    EXPECT_EQ(crc, masked_crc32c(data));
    EXPECT_TRUE(events.emplace_back().ParseFromString(data));
  }
  EXPECT_EQ(at, bytes.size());
  return events;
}

TEST(Crc32c, KnownValues) {
  // RFC 3720, B.4.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
}

TEST(TensorBoard, ScalarsAndText) {
  const TemporaryFolder folder;
  TensorBoardWriter writer(folder.path());
  writer.scalar("loss", 10, 6.5);
  writer.scalars("train/", 20, {{"loss", 6.25}, {"learning_rate", 1e-3}});
  writer.text("configuration", 0, "steps: 1000");
  EXPECT_THAT(writer.path().filename().string(), StartsWith("events.out.tfevents."));
  const std::vector<tensorboard::Event> events = read_events(writer.path());
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_EQ(events[1].step(), 10);
  EXPECT_EQ(events[1].summary().value(0).tag(), "loss");
  EXPECT_EQ(events[1].summary().value(0).simple_value(), 6.5f);
  EXPECT_EQ(events[2].summary().value(1).tag(), "train/learning_rate");
  EXPECT_EQ(events[2].summary().value(1).simple_value(), 1e-3f);
  const tensorboard::Summary::Value& text = events[3].summary().value(0);
  EXPECT_EQ(text.metadata().plugin_data().plugin_name(), "text");
  EXPECT_EQ(text.tensor().dtype(), tensorboard::DT_STRING);
  EXPECT_EQ(text.tensor().string_val(0), "steps: 1000");
  EXPECT_GT(events[3].wall_time(), 1.6e9);
}

TEST(TensorBoard, FieldNumbersAreTensorFlows) {
  // Event{step: 3, summary{value{tag: "a", simple_value: 1}}} as TensorFlow's schema encodes it.
  tensorboard::Event event;
  event.set_step(3);
  tensorboard::Summary::Value& value = *event.mutable_summary()->add_value();
  value.set_tag("a");
  value.set_simple_value(1);
  EXPECT_EQ(event.SerializeAsString(), std::string("\x10\x03\x2a\x0a\x0a\x08\x0a\x01\x61\x15\x00\x00\x80\x3f", 14));
}

TEST(TensorBoard, AResumedRunHasAFileOfItsOwn) {
  const TemporaryFolder folder;
  TensorBoardWriter first(folder.path());
  first.scalar("loss", 1, 1);
  TensorBoardWriter second(folder.path(), 100);
  EXPECT_NE(first.path(), second.path());
  EXPECT_EQ(read_events(first.path()).size(), 2u);
  const std::vector<tensorboard::Event> events = read_events(second.path());
  EXPECT_EQ(events.at(1).session_log().status(), tensorboard::SessionLog::START);
  EXPECT_EQ(events.at(1).step(), 101);
}

}  // namespace
}  // namespace synthesizer
