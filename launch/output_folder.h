// A folder that a command fills: it has its name only when it is whole, and nothing that was there is touched.
#pragma once

#include <filesystem>

namespace synthesizer {

class OutputFolder {
 public:
  // Makes `path` + ".partial", where an earlier program that was killed may have left one. UsageError, beginning with
  // `option`, if `path` is there and not an empty folder, or if nothing can be made there.
  OutputFolder(const std::string& option, std::filesystem::path path);
  // Removes what was not committed.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  // Where to write.
  const std::filesystem::path& partial() const { return partial_; }
  // The folder, written and synced, takes its name.
  void commit();

 private:
  std::filesystem::path path_, partial_;
  bool committed_ = false;
};

}  // namespace synthesizer
