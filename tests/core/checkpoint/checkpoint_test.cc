// Checkpoints as they are written and read, whole: any number of ranks, any slices, any precision.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "core/base/error.h"
#include "core/checkpoint/folder.h"
#include "core/checkpoint/reader.h"
#include "core/checkpoint/writer.h"
#include "dist/thread_communicator.h"
#include "tests/core/checkpoint/sample_checkpoint.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::vector<int64_t> steps_of(const CheckpointFolder& folder) {
  std::vector<int64_t> steps;
  for (const auto& [step, path] : folder.list()) steps.push_back(step);
  return steps;
}

std::string all_bytes(const std::filesystem::path& checkpoint) {
  std::string bytes;
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"})
    bytes += read_text_file(checkpoint / name);
  return bytes;
}

TEST(Checkpoint, SameBytesFromAnyNumberOfRanks) {
  const TemporaryFolder temporary;
  std::string expected;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    for (const int size : {1, 2, 4}) {
      const CheckpointFolder folder{temporary / "checkpoints"};
      run_ranks(size, [&](Communicator& world) { write_sample(folder, 1000, world, seed); });
      const std::string bytes = all_bytes(folder.final_path(1000));
      if (expected.empty()) expected = bytes;
      EXPECT_EQ(bytes, expected) << size << " ranks, cut " << seed;
    }
  }
}

TEST(Checkpoint, ReadByAnyNumberOfRanks) {
  const TemporaryFolder temporary;
  const CheckpointFolder folder{temporary / "checkpoints"};
  run_ranks(2, [&](Communicator& world) { write_sample(folder, 30, world); });
  for (const int size : {1, 2, 3, 4}) {
    run_ranks(size, [&](Communicator& world) {
      const NewestCheckpoint newest = find_newest_checkpoint(folder.path, world);
      ASSERT_TRUE(newest.folder.has_value());
      EXPECT_TRUE(newest.refused.empty());
      const CheckpointReader reader(*newest.folder);
      for (const CheckpointPart part : kCheckpointParts) {
        const SampleSlices expected = sample_slices(part, 30, world.rank(), world.size(), 77);
        std::vector<TensorBox> boxes;
        for (size_t i = 0; i < expected.slices.size(); ++i) {
          boxes.push_back(expected.slices[i].box);
          std::vector<std::byte> found(expected.memory[i].size(), std::byte{0xAA});
          reader.read(part, boxes.back(), found.data());
          EXPECT_EQ(found, expected.memory[i]) << boxes.back().name;
        }
        reader.expect(part, boxes);
      }
    });
  }
}

TEST(Checkpoint, StateComesBack) {
  const TemporaryFolder temporary;
  const CheckpointFolder folder{temporary / "checkpoints"};
  run_ranks(1, [&](Communicator& world) { write_sample(folder, 30, world); });
  const CheckpointState expected = sample_state(30);
  const CheckpointState found = CheckpointReader(folder.final_path(30)).state();
  EXPECT_EQ(found.step, expected.step);
  EXPECT_EQ(found.epoch, expected.epoch);
  EXPECT_EQ(found.example, expected.example);
  EXPECT_EQ(found.seed, expected.seed);
  EXPECT_EQ(found.program_version, expected.program_version);
  EXPECT_EQ(found.config, expected.config);
  EXPECT_EQ(found.extra, expected.extra);
}

TEST(Checkpoint, PollCommitsWithoutWaiting) {
  const TemporaryFolder temporary;
  const CheckpointFolder folder{temporary / "checkpoints"};
  run_ranks(3, [&](Communicator& world) {
    CheckpointWriter writer(folder, world);
    EXPECT_FALSE(writer.poll());
    begin_sample(writer, 10, world);
    EXPECT_TRUE(writer.in_flight());
    int commits = 0;
    while (writer.in_flight()) commits += writer.poll() ? 1 : 0;
    EXPECT_EQ(commits, 1);
    EXPECT_TRUE(is_sample(CheckpointReader(folder.final_path(10))));
    // A second snapshot waits for the first, and the tensors may change as soon as begin() is back.
    begin_sample(writer, 20, world);
    begin_sample(writer, 30, world);
    EXPECT_TRUE(std::filesystem::exists(folder.final_path(20)));
    writer.finish();
  });
  EXPECT_THAT(steps_of(folder), ElementsAre(20, 30));
}

TEST(Checkpoint, KeepsTheNewestAndMilestones) {
  const TemporaryFolder temporary;
  const CheckpointFolder folder{temporary / "checkpoints", 2, 300};
  run_ranks(1, [&](Communicator& world) {
    for (int64_t step = 100; step <= 1000; step += 100) write_sample(folder, step, world);
  });
  EXPECT_THAT(steps_of(folder), ElementsAre(300, 600, 900, 1000));
}

TEST(Checkpoint, OneOfTheSameStepIsReplaced) {
  const TemporaryFolder temporary;
  const CheckpointFolder folder{temporary / "checkpoints"};
  run_ranks(2, [&](Communicator& world) { write_sample(folder, 10, world); });
  std::filesystem::resize_file(folder.final_path(10) / "model.safetensors", 100);
  run_ranks(2, [&](Communicator& world) { write_sample(folder, 10, world); });
  EXPECT_TRUE(is_sample(CheckpointReader(folder.final_path(10))));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path), {}), 1);
}

TEST(Checkpoint, LaterRefusedOnesAreNotCounted) {
  const TemporaryFolder temporary;
  const CheckpointFolder folder{temporary / "checkpoints"};
  run_ranks(1, [&](Communicator& world) {
    for (const int64_t step : {10, 90, 20, 30}) write_sample(folder, step, world);
  });
  EXPECT_THAT(steps_of(folder), ElementsAre(20, 30, 90));
}

// A box drawn at random within the shape, sometimes empty, sometimes in a larger buffer.
TensorBox random_box(const SampleTensor& tensor, std::mt19937_64& random) {
  TensorBox box = TensorBox::whole(tensor.name, tensor.dtype, tensor.shape);
  const bool padded = random() % 2 == 0;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    if (random() % 3 != 0) {
      box.begin[i] = static_cast<int64_t>(random() % static_cast<uint64_t>(tensor.shape[i] + 1));
      box.end[i] =
          box.begin[i] + static_cast<int64_t>(random() % static_cast<uint64_t>(tensor.shape[i] - box.begin[i] + 1));
    }
    if (padded) box.buffer_shape.push_back(box.end[i] - box.begin[i] + static_cast<int64_t>(random() % 3));
  }
  return box;
}

// Element by element, by indices: what read() must give for a tensor of floats `whole`.
std::vector<double> expected_elements(const TensorBox& box, const std::vector<double>& whole, double untouched) {
  const size_t rank = box.whole_shape.size();
  const auto width = [&](size_t i) {
    return box.buffer_shape.empty() ? box.end[i] - box.begin[i] : box.buffer_shape[i];
  };
  int64_t elements = 1;
  for (size_t i = 0; i < rank; ++i) elements *= width(i);
  std::vector<double> expected(static_cast<size_t>(elements), untouched);
  for (size_t n = 0; n < whole.size(); ++n) {
    auto rest = static_cast<int64_t>(n);
    int64_t to = 0, stride = 1;
    bool inside = true;
    for (size_t i = rank; i-- > 0;) {
      const int64_t index = rest % box.whole_shape[i];
      rest /= box.whole_shape[i];
      inside = inside && index >= box.begin[i] && index < box.end[i];
      to += (index - box.begin[i]) * stride;
      stride *= width(i);
    }
    if (inside) expected[static_cast<size_t>(to)] = whole[n];
  }
  return expected;
}

template <typename T>
std::vector<double> as_doubles(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return {values.begin(), values.end()};
}

template <typename T>
std::vector<double> read_as(const CheckpointReader& reader, CheckpointPart part, TensorBox box, size_t elements) {
  box.dtype = kDTypeOf<T>;
  std::vector<T> out(elements, T{-7});
  reader.read(part, box, out.data());
  return {out.begin(), out.end()};
}

TEST(Checkpoint, RandomSlicesInBothPrecisions) {
  const TemporaryFolder temporary;
  const CheckpointFolder folder{temporary / "checkpoints"};
  run_ranks(4, [&](Communicator& world) { write_sample(folder, 5, world); });
  const CheckpointReader reader(folder.final_path(5));
  std::mt19937_64 random(3);
  for (int n = 0; n < 4000; ++n) {
    const CheckpointPart part = kCheckpointParts[random() % 2];
    const SampleTensor& tensor = sample_tensors(part)[random() % sample_tensors(part).size()];
    if (!is_floating(tensor.dtype)) continue;
    const bool wide = tensor.dtype == DType::kFloat64;
    const std::vector<std::byte> bytes = sample_bytes(tensor, 5);
    const TensorBox box = random_box(tensor, random);
    const std::vector<double> expected =
        expected_elements(box, wide ? as_doubles<double>(bytes) : as_doubles<float>(bytes), -7);
    EXPECT_EQ(read_as<double>(reader, part, box, expected.size()), expected) << n;
    std::vector<double> rounded = expected;
    for (double& value : rounded) value = static_cast<float>(value);
    EXPECT_EQ(read_as<float>(reader, part, box, expected.size()), rounded) << n;
  }
}

TEST(Checkpoint, WrongTensorsAreNamed) {
  const TemporaryFolder temporary;
  const CheckpointFolder folder{temporary / "checkpoints"};
  run_ranks(1, [&](Communicator& world) { write_sample(folder, 5, world); });
  const CheckpointReader reader(folder.final_path(5));
  std::vector<TensorBox> boxes;
  for (const SampleTensor& tensor : sample_tensors(CheckpointPart::kModel))
    boxes.push_back(TensorBox::whole(tensor.name, tensor.dtype, tensor.shape));
  reader.expect(CheckpointPart::kModel, boxes);
  boxes[0].name = "embeding";
  boxes[1].whole_shape[2] = 6;
  boxes[5].dtype = DType::kFloat32;
  EXPECT_THAT(
      [&] { reader.expect(CheckpointPart::kModel, boxes); },
      ThrowsMessage<UsageError>(AllOf(
          HasSubstr("model.safetensors"), HasSubstr("embeding is missing"), HasSubstr("embedding is not of this model"),
          HasSubstr("w1 has shape [7, 2, 5], expected [7, 2, 6]"), HasSubstr("table is I32, expected f32"))));
  float out[1000];
  EXPECT_THAT([&] { reader.read(CheckpointPart::kModel, boxes[0], out); },
              ThrowsMessage<UsageError>(HasSubstr("no tensor embeding; did you mean embedding")));
  EXPECT_THAT([&] { reader.read(CheckpointPart::kModel, boxes[1], out); },
              ThrowsMessage<UsageError>(HasSubstr("has shape [7, 2, 5], expected [7, 2, 6]")));
  EXPECT_THAT([&] { reader.read(CheckpointPart::kModel, boxes[5], out); },
              ThrowsMessage<UsageError>(HasSubstr("table is I32, expected f32")));
}

TEST(Checkpoint, OwnersAreCounted) {
  const TemporaryFolder temporary;
  const CheckpointFolder folder{temporary / "checkpoints"};
  const auto write = [&](bool one_owner, bool same_names) {
    run_ranks(2, [&](Communicator& world) {
      CheckpointWriter writer(folder, world);
      const float values[3] = {1, 2, 3};
      const bool first = world.rank() == 0;
      const std::vector<TensorSlice> model{
          {TensorBox::whole(same_names || first ? "weight" : "bias", DType::kFloat32, {3}), values,
           one_owner && first}};
      EXPECT_THAT([&] { writer.begin({}, model, {}); },
                  ThrowsMessage<Error>(HasSubstr(same_names ? "own 0 elements of tensor weight, expected 3"
                                                            : "the ranks name different tensors")));
      EXPECT_FALSE(writer.in_flight());
    });
  };
  write(false, true);
  write(true, false);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path));
}

}  // namespace
}  // namespace synthesizer
