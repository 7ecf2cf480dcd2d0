#include "core/checkpoint/safetensors.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::ThrowsMessage;

class Safetensors : public ::testing::Test {
 protected:
  // A file with this header, `data_bytes` of data; the length field says `length` if given.
  void write(const std::string& header, size_t data_bytes, uint64_t length = 0) {
    const uint64_t field = length == 0 ? header.size() : length;
    std::string bytes(reinterpret_cast<const char*>(&field), sizeof field);
    File(path_, O_WRONLY | O_CREAT | O_TRUNC).append(bytes + header + std::string(data_bytes, '\1'));
  }

  void expect_refused(const std::string& header, size_t data_bytes, const std::string& why, uint64_t length = 0) {
    write(header, data_bytes, length);
    EXPECT_THAT([&] { SafetensorsReader reader(path_); },
                ThrowsMessage<UsageError>(AllOf(HasSubstr(path_.string()), HasSubstr(why))))
        << header;
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "x.safetensors";
};

TEST_F(Safetensors, LayoutIsSortedPaddedAndRepeatable) {
  const std::vector<StoredTensor> tensors{{"b", StoredType::kF64, {2, 3}},
                                          {"a", StoredType::kF32, {5}},
                                          {"scalar", StoredType::kI64, {}},
                                          {"none", StoredType::kI32, {0, 4}}};
  const SafetensorsLayout layout(tensors, {{"format", "pt"}});
  EXPECT_EQ(layout.header().size() % 64, 0u);
  EXPECT_EQ(layout.file_bytes(), static_cast<int64_t>(layout.header().size()) + 20 + 48 + 8);
  EXPECT_EQ(layout.tensors()[0].name, "a");
  EXPECT_EQ(layout.at("b").begin, layout.at("a").end);
  EXPECT_EQ(SafetensorsLayout({tensors.rbegin(), tensors.rend()}, {{"format", "pt"}}).header(), layout.header());
  EXPECT_THAT([&] { layout.at("c"); }, ThrowsMessage<Error>(HasSubstr("no tensor c")));
  EXPECT_THAT([] { SafetensorsLayout({{"a"}, {"a"}}, {}); }, ThrowsMessage<Error>(HasSubstr("a comes twice")));
  EXPECT_THAT([] { SafetensorsLayout({{"\xff"}}, {}); }, ThrowsMessage<Error>(HasSubstr("not UTF-8")));

  const File file(path_, O_WRONLY | O_CREAT);
  file.resize(layout.file_bytes());
  file.write_at(0, layout.header().data(), static_cast<int64_t>(layout.header().size()));
  const double value = 2.5;
  file.write_at(layout.at("b").begin + 8, &value, 8);
  const SafetensorsReader reader(path_);
  EXPECT_THAT(reader.metadata(), ElementsAre(Pair("format", "pt")));
  EXPECT_EQ(reader.tensors().size(), 4u);
  EXPECT_EQ(reader.at("b").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(reader.at("scalar").type, StoredType::kI64);
  double found = 0;
  reader.read(reader.at("b").begin + 8, &found, 8);
  EXPECT_EQ(found, value);
  EXPECT_THAT([&] { reader.at("scalr"); }, ThrowsMessage<UsageError>(HasSubstr("did you mean scalar?")));
}

TEST_F(Safetensors, OtherProgramsFilesAreRead) {
  // Not in the order of names, not padded, bf16, fields in another order.
  write(
      R"({"z":{"shape":[2],"dtype":"BF16","data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
      8);
  const SafetensorsReader reader(path_);
  EXPECT_EQ(reader.tensors()[0].name, "a");
  EXPECT_EQ(reader.at("z").type, StoredType::kBf16);
  EXPECT_EQ(reader.at("z").begin + 4, reader.at("a").begin);
  write("{}", 0);
  EXPECT_TRUE(SafetensorsReader(path_).tensors().empty());
}

TEST_F(Safetensors, BadHeadersAreRefusedByName) {
  const auto tensor = [](const std::string& name, const std::string& rest) {
    return "\"" + name + "\":{" + rest + "}";
  };
  const std::string good = tensor("good", R"("dtype":"F32","shape":[2],"data_offsets":[0,8])");
  EXPECT_THAT([&] { SafetensorsReader reader(folder_ / "none"); },
              ThrowsMessage<UsageError>(HasSubstr("no such file")));
  expect_refused("{" + good + "}", 8, "header of 100000001 bytes", 100'000'001);
  expect_refused("{" + good + "}", 8, "the header ends at 1008", 1000);
  expect_refused("{" + good, 8, "not JSON");
  expect_refused("[1]", 0, "not a JSON object");
  expect_refused("{" + good + "," + good + "}", 16, "tensor good comes twice");
  expect_refused("{" + good + "}", 7, "tensor good: its bytes end at 8, but the file's data at 7");
  expect_refused("{" + good + "}", 9, "1 bytes after the last tensor");
  const std::string overlap = tensor("bad", R"("dtype":"F32","shape":[2],"data_offsets":[4,12])");
  expect_refused("{" + good + "," + overlap + "}", 12, "tensor bad overlaps another");
  const std::string gap = tensor("bad", R"("dtype":"F32","shape":[2],"data_offsets":[9,17])");
  expect_refused("{" + good + "," + gap + "}", 17, "a gap of 1 bytes before tensor bad");
  const std::pair<const char*, const char*> fields[] = {
      {R"("dtype":"F31","shape":[2],"data_offsets":[0,8])", "tensor bad: unknown dtype F31; known: F32, F64"},
      {R"("shape":[2],"data_offsets":[0,8])", "tensor bad: no dtype"},
      {R"("dtype":"F32","data_offsets":[0,8])", "tensor bad: no list shape"},
      {R"("dtype":"F32","shape":[2])", "tensor bad: no list data_offsets"},
      {R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])", "tensor bad: shape has -2"},
      {R"("dtype":"F32","shape":[2.5],"data_offsets":[0,8])", "tensor bad: shape has 2.5"},
      {R"("dtype":"F32","shape":[2],"data_offsets":[8,0])", "tensor bad: data_offsets are not [begin, end]"},
      {R"("dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615])", "tensor bad: data_offsets has"},
      {R"("dtype":"F32","shape":[3],"data_offsets":[0,8])", "tensor bad: 8 bytes, expected 12 for F32 [3]"},
      {R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])", "tensor bad: 0 bytes"}};
  for (const auto& [field, why] : fields) expect_refused("{" + tensor("bad", field) + "}", 8, why);
  expect_refused(R"({"bad":7})", 0, "tensor bad is not an object");
  expect_refused(R"({"__metadata__":{"a":1}})", 0, "__metadata__ a is not a string");
  File(path_, O_WRONLY | O_TRUNC).append("short");
  EXPECT_THAT([&] { SafetensorsReader reader(path_); }, ThrowsMessage<UsageError>(HasSubstr("too few")));
}

// What a program that knows only the format's description reads: python's standard library.
TEST_F(Safetensors, PythonReadsThem) {
  const SafetensorsLayout layout({{"w", StoredType::kF32, {2, 2}}, {"b", StoredType::kF64, {1}}}, {{"format", "pt"}});
  const File file(path_, O_WRONLY | O_CREAT);
  file.write_at(0, layout.header().data(), static_cast<int64_t>(layout.header().size()));
  const float w[4] = {1, 2, 3, 4.5f};
  const double b = -0.125;
  file.write_at(layout.at("w").begin, w, sizeof w);
  file.write_at(layout.at("b").begin, &b, sizeof b);
  const std::string script =
      "import json, struct, sys\n"
      "data = open(sys.argv[1], 'rb').read()\n"
      "n = struct.unpack('<Q', data[:8])[0]\n"
      "assert (8 + n) % 64 == 0\n"
      "h = json.loads(data[8:8 + n])\n"
      "assert h.pop('__metadata__') == {'format': 'pt'}\n"
      "def read(name, code):\n"
      "    i, j = h[name]['data_offsets']\n"
      "    return list(struct.unpack('<' + code, data[8 + n + i:8 + n + j]))\n"
      "assert list(h) == ['b', 'w'], h\n"
      "assert h['w']['dtype'] == 'F32' and h['w']['shape'] == [2, 2]\n"
      "assert read('w', '4f') == [1, 2, 3, 4.5] and read('b', 'd') == [-0.125]\n";
  const std::filesystem::path program = folder_ / "read.py";
  File(program, O_WRONLY | O_CREAT).append(script);
  EXPECT_EQ(std::system(("python3 " + program.string() + " " + path_.string()).c_str()), 0);
}

}  // namespace
}  // namespace synthesizer
