// The short mode of a fuzz target, without libFuzzer: every file of its corpus, then mutations of them. The mutations
// are a pure function of their number, so a failure comes again; the input that fails lies in SYNTHESIZER_FUZZ_INPUT.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "core/base/philox.h"
#include "tests/fuzz/fuzz.h"

namespace synthesizer::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kMutations = SYNTHESIZER_FUZZ_MUTATIONS;
constexpr rlim_t kMostMemory = rlim_t{1} << 30;

std::vector<std::string> corpus() {
  std::vector<fs::path> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(SYNTHESIZER_FUZZ_CORPUS))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs;
  for (const fs::path& path : paths) {
    std::ostringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    inputs.push_back(bytes.str());
  }
  return inputs;
}

// Random numbers of one mutation.
class Draw {
 public:
  explicit Draw(uint32_t mutation) : mutation_(mutation) {}
  // In [0, below); 0 for 0.
  size_t operator()(size_t below) {
    if (drawn_ % 4 == 0) words_ = philox({drawn_ / 4, mutation_, 0, 0}, philox_key(1));
    const uint32_t word = words_[drawn_++ % 4];
    return below == 0 ? 0 : word % below;
  }

 private:
  uint32_t mutation_;
  uint32_t drawn_ = 0;
  PhiloxCounter words_{};
};

// What readers trip over: ends of ranges, nesting, half of something.
const std::vector<std::string> kWords = {
    "0",
    "-1",
    "1e999",
    "18446744073709551615",
    "9223372036854775808",
    "-9223372036854775808",
    "nan",
    "null",
    "true",
    std::string(4, '\xff'),
    std::string(8, '\0'),
    std::string("\0\0\0\0\0\0\0\x7f", 8),
    "\"",
    "\\",
    "\\u",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "+",
    "\n",
    "\xc3",
};

std::string mutate(std::string bytes, const std::string& other, Draw& draw) {
  const size_t times = 1 + draw(4);
  for (size_t i = 0; i < times; ++i) {
    const size_t at = draw(bytes.size() + 1);
    const size_t length = std::min(bytes.size() - at, 1 + draw(16));
    switch (draw(7)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << draw(8)));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(draw(256));
        break;
      case 2:
        bytes.erase(at, length);
        break;
      case 3:
        bytes.insert(at, kWords[draw(kWords.size())]);
        break;
      case 4: {  // instead of digits, where there are some
        const size_t digit = bytes.find_first_of("0123456789", at);
        const size_t end = std::min(bytes.find_first_not_of("0123456789", digit), bytes.size());
        if (digit < bytes.size()) bytes.replace(digit, end - digit, kWords[draw(kWords.size())]);
        break;
      }
      case 5: {  // a part again, once or often enough to nest deep
        const std::string part = bytes.substr(at, length);
        for (size_t n = draw(8) == 0 ? 300 : 1; n > 0; --n) bytes.insert(at, part);
        break;
      }
      default:  // the end of another input
        bytes = bytes.substr(0, at) + other.substr(draw(other.size() + 1));
    }
  }
  return bytes;
}

void run(const std::string& input) {
  // Left behind by a crash, which no test outlives.
  write(SYNTHESIZER_FUZZ_INPUT, input);
  ASSERT_NO_THROW(LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size()))
      << "the input is in " << SYNTHESIZER_FUZZ_INPUT;
}

TEST(Fuzz, SYNTHESIZER_FUZZ_NAME) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their shadow is larger
  const rlimit limit{.rlim_cur = kMostMemory, .rlim_max = RLIM_INFINITY};
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &limit), 0);
#endif
  const std::vector<std::string> inputs = corpus();
  ASSERT_GE(inputs.size(), 3u) << SYNTHESIZER_FUZZ_CORPUS;
  for (const std::string& input : inputs) ASSERT_NO_FATAL_FAILURE(run(input));
  for (uint32_t mutation = 0; mutation < kMutations; ++mutation) {
    Draw draw(mutation);
    const std::string& input = inputs[draw(inputs.size())];
    const std::string& other = inputs[draw(inputs.size())];
    ASSERT_NO_FATAL_FAILURE(run(mutate(input, other, draw))) << "mutation " << mutation;
  }
  fs::remove(SYNTHESIZER_FUZZ_INPUT);
}

}  // namespace
}  // namespace synthesizer::fuzz
