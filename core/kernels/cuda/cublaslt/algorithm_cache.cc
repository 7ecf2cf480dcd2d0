#include "core/kernels/cuda/cublaslt/algorithm_cache.h"

#include <fmt/format.h>

#include <cctype>
#include <cstdlib>
#include <fstream>

namespace synthesizer::cuda {
namespace {

namespace fs = std::filesystem;

fs::path cache_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (const std::string own = variable("SYNTHESIZER_CACHE"); !own.empty()) return own;
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty()) return fs::path(cache) / "synthesizer";
  return fs::path(variable("HOME")) / ".cache" / "synthesizer";
}

std::string as_file_name(std::string text) {
  for (char& c : text)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.') c = '-';
  return text;
}

std::string to_hex(const std::string& bytes) {
  std::string hex;
  for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return hex;
}

// Empty if it is no hex.
std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    char* end = nullptr;
    const std::string pair = hex.substr(i, 2);
    bytes += static_cast<char>(std::strtoul(pair.c_str(), &end, 16));
    if (end != pair.c_str() + 2) return {};
  }
  return hex.size() % 2 == 0 ? bytes : std::string();
}

}  // namespace

AlgorithmCache::AlgorithmCache(const std::string& gpu, const std::string& version)
    : AlgorithmCache(cache_folder() / fmt::format("products-{}-{}.txt", as_file_name(gpu), as_file_name(version))) {}

AlgorithmCache::AlgorithmCache(fs::path file) : file_(std::move(file)) { read(); }

// A line each: the key, a tab, the algorithm. Of two with one key the first counts, so that what a run has chosen
// stays.
void AlgorithmCache::read() {
  std::ifstream lines(file_);
  for (std::string line; std::getline(lines, line);) {
    const size_t tab = line.find('\t');
    if (tab == std::string::npos) continue;
    const std::string algorithm = from_hex(line.substr(tab + 1));
    if (!algorithm.empty()) known_.emplace(line.substr(0, tab), algorithm);
  }
}

std::optional<std::string> AlgorithmCache::find(const std::string& key) const {
  const auto found = known_.find(key);
  return found == known_.end() ? std::nullopt : std::optional(found->second);
}

void AlgorithmCache::add(const std::string& key, const std::string& algorithm) {
  known_.insert_or_assign(key, algorithm);
  std::error_code ignored;
  fs::create_directories(file_.parent_path(), ignored);
  // One write, so that lines of several ranks do not mix.
  std::ofstream(file_, std::ios::app) << key + "\t" + to_hex(algorithm) + "\n" << std::flush;
}

}  // namespace synthesizer::cuda
