// Device files: those that the program knows, and every mistake that one can have.
#include "launch/config/device.h"

#include <gmock/gmock.h>

#include "launch/config/fields.h"
#include "tests/launch/messages.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(DeviceFiles, KnownOnesHaveTheirOwnNameAndAllPrecisionsThatTheirRunsMayHave) {
  std::vector<std::string> names;
  for (const KnownDevice& known : known_devices()) {
    names.emplace_back(known.name);
    const config::Device device = load_device(std::string(known.name));
    EXPECT_EQ(device.name(), known.name);
    EXPECT_GT(device_for(device, config::Run::FP32).products.peak, 1e9);
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre("a100", "cpu", "h100", "h200"));
  EXPECT_DOUBLE_EQ(device_for(load_device("h100"), config::Run::BF16).products.peak, 989e12);
  EXPECT_THAT(usage_message([] { device_for(load_device("cpu"), config::Run::FP64); }),
              HasSubstr("device cpu has no products of precision FP64"));
}

TEST(DeviceFiles, WhatIsWrittenIsReadBackTheSame) {
  const config::Device device = load_device("h100");
  const std::string text = device_text(device, "measured\nhere");
  EXPECT_TRUE(text.starts_with("# measured\n# here\n"));
  EXPECT_EQ(parse_device(text, "again").SerializeAsString(), device.SerializeAsString());
}

// Every figure in turn is taken out of a good file, at any depth.
void without_each(Message& whole, Message& message, const std::string& path, int& left_out) {
  const auto& reflection = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    const std::string here = join_path(path, field.name());
    if (field.is_repeated()) {
      for (int j = 0; j < reflection.FieldSize(message, &field); ++j)
        without_each(whole, *reflection.MutableRepeatedMessage(&message, &field, j), fmt::format("{}[{}]", here, j),
                     left_out);
      continue;
    }
    const std::unique_ptr<Message> kept(message.New());
    kept->CopyFrom(message);
    reflection.ClearField(&message, &field);
    EXPECT_THAT(
        usage_message([&] { parse_device(device_text(dynamic_cast<const config::Device&>(whole), ""), "mine.txtpb"); }),
        HasSubstr("mine.txtpb: " + here + " is missing, expected "));
    ++left_out;
    message.CopyFrom(*kept);
    if (field.message_type() != nullptr)
      without_each(whole, *reflection.MutableMessage(&message, &field), here, left_out);
  }
}

TEST(DeviceFiles, EachMissingFigureIsNamed) {
  config::Device device = load_device("h100");
  device.add_slowdown()->set_op("softmax");
  device.mutable_slowdown(0)->set_times(2);
  int left_out = 0;
  without_each(device, device, "", left_out);
  EXPECT_EQ(left_out, 11 + 2 * 2 + 3 * 6 + 2);
}

TEST(DeviceFiles, WrongOnes) {
  const std::string good = device_text(load_device("h100"), "");
  const auto message = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return usage_message([&] { parse_device(text, "mine.txtpb"); });
  };
  EXPECT_THAT(message("ranks_per_host: 8", "ranks_per_host: 0"),
              HasSubstr("ranks_per_host: got 0, expected more than 0"));
  EXPECT_THAT(message("taken: 0.05", "taken: 1.5"), HasSubstr("taken: got 1.5, expected 0 to 1"));
  EXPECT_THAT(message("latency: 2e-06", "latency: -1"), HasSubstr("inside.latency: got -1, expected 0 to 1"));
  EXPECT_THAT(message("reached: 0.75", "reached: 0"), HasSubstr("products[1].reached: got 0"));
  EXPECT_THAT(message("memory_bandwidth: 3", "memory_bandwidth: inf #"), HasSubstr("expected more than 0"));
  EXPECT_THAT(message("reserved_bytes: 2000000000", "reserved_bytes: 90000000000"),
              HasSubstr("reserved_bytes: got 90000000000, expected less than memory_bytes 80000000000"));
  EXPECT_THAT(message("precision: BF16", "precision: FP32"), HasSubstr("products: FP32 is there twice"));
  EXPECT_THAT(message("vector_flops", "vektor_flops"),
              AllOf(HasSubstr("unknown field 'vektor_flops' in the device file"), HasSubstr("vector_flops")));
  EXPECT_THAT(message("steps: TREE", "steps: RING"), HasSubstr("steps: got 'RING', expected one of DIRECT, TREE"));
  EXPECT_THAT(usage_message([] { load_device("h10"); }), HasSubstr("no such device or file; did you mean h100"));
  EXPECT_THAT(usage_message([] { parse_device("name: \"x\"", "mine.txtpb"); }),
              HasSubstr("mine.txtpb: memory_bytes is missing, expected an integer"));
}

}  // namespace
}  // namespace synthesizer
