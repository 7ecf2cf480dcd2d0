// Which algorithm was the fastest for which product, kept in a file: measured once on a machine, the same in every run
// from then on.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace synthesizer::cuda {

class AlgorithmCache {
 public:
  // A file for each GPU model and version of the library, in $SYNTHESIZER_CACHE, $XDG_CACHE_HOME/synthesizer or
  // ~/.cache/synthesizer. What cannot be read or written is measured anew; nothing fails.
  AlgorithmCache(const std::string& gpu, const std::string& version);
  explicit AlgorithmCache(std::filesystem::path file);

  // The library's own bytes. A key is one line.
  std::optional<std::string> find(const std::string& key) const;
  void add(const std::string& key, const std::string& algorithm);
  const std::filesystem::path& file() const { return file_; }

 private:
  void read();

  std::filesystem::path file_;
  std::map<std::string, std::string> known_;
};

}  // namespace synthesizer::cuda
