// The folder of a run (--run): made or taken up again, locked against a second program, with the run's configuration.
// What may differ between a configuration and the one the run began with is the caller's to judge.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

#include "core/base/file.h"
#include "core/graph/communicator.h"

namespace synthesizer {

class RunFolder {
 public:
  // Throws UsageError, naming the field and both values, if the two configurations are not of one run.
  using CompareConfigs = std::function<void(const std::string& of_the_run, const std::string& wanted)>;

  // Collective; only rank 0 touches the disk, and it holds the lock as long as the object lives. Refused with a
  // UsageError on all ranks, and nothing changed: a folder with other things in it, a run of another configuration, a
  // run that another program still holds after `wait` (its process and host are named).
  RunFolder(std::filesystem::path path, const std::string& config, const CompareConfigs& compare, Communicator& world,
            std::chrono::milliseconds wait = std::chrono::seconds(15));

  const std::filesystem::path& path() const { return path_; }
  // The run was begun before; it has a checkpoint only if it came that far. The same on all ranks.
  bool existed() const { return existed_; }
  std::filesystem::path config() const { return path_ / "config.txtpb"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path profile() const { return path_ / "profile"; }

 private:
  void open(const std::string& config, const CompareConfigs& compare, std::chrono::milliseconds wait);
  void lock(std::chrono::milliseconds wait);

  std::filesystem::path path_;
  File lock_;
  bool existed_ = false;
};

}  // namespace synthesizer
