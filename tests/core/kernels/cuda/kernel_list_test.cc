// The list of CUDA's kernels: as many ops as the CPU's; and what its sources launch is what they define.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>

#include "core/kernels/cpu/cpu_kernels.h"
#include "tests/support/test_kernels.h"

namespace synthesizer::cuda {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

bool in_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string word_at(const std::string& text, size_t at) {
  size_t end = at;
  while (end < text.size() && in_word(text[end])) ++end;
  return text.substr(at, end - at);
}

constexpr std::string_view kGlobal = "__global__ void ";

// "__global__ void [__launch_bounds__(…)] name(": the name.
std::string defined_at(const std::string& text, size_t at) {
  constexpr std::string_view kBounds = "__launch_bounds__";
  at += kGlobal.size();
  if (text.compare(at, kBounds.size(), kBounds) == 0) at = text.find_first_not_of(" \n", text.find(')', at) + 1);
  return word_at(text, at);
}

struct Names {
  std::set<std::string> defined, launched;
};

Names names_in_sources() {
  Names names;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator("core/kernels/cuda")) {
    if (!entry.is_regular_file()) continue;
    const std::string text = text_of(entry.path());
    for (size_t at = text.find(kGlobal); at != std::string::npos; at = text.find(kGlobal, at + 1))
      names.defined.insert(defined_at(text, at));
    for (size_t at = text.find('"'); at != std::string::npos; at = text.find('"', at + 1)) {
      const std::string word = word_at(text, at + 1);
      if (word.ends_with("_kernel") && text[at + 1 + word.size()] == '"') names.launched.insert(word);
    }
  }
  return names;
}

TEST(CudaKernels, AreThereForEveryOpOfTheCpu) {
  std::set<std::string> cpu, gpu;
  for (const std::span<const synthesizer::KernelEntry> family : cpu_kernel_entries())
    for (const synthesizer::KernelEntry& entry : family) cpu.insert(entry.op->name());
  for (const std::type_info* op : ops_with_kernels()) gpu.insert(op->name());
  EXPECT_EQ(gpu, cpu);
}

// By its own name, which messages and listeners are given.
TEST(CudaKernels, AreAllLaunchedByTheirNames) {
  const Names names = names_in_sources();
  EXPECT_GT(names.defined.size(), 50u);
  for (const std::string& name : names.defined) EXPECT_TRUE(names.launched.contains(name)) << name;
  for (const std::string& name : names.launched) EXPECT_TRUE(names.defined.contains(name)) << name;
}

}  // namespace
}  // namespace synthesizer::cuda
