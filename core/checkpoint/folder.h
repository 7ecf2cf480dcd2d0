// The folder checkpoints/ of a run: names, which to keep, and how one comes and goes without ever being half there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace synthesizer {

struct CheckpointFolder {
  std::filesystem::path path;
  int keep = 2;                 // the newest so many stay…
  int64_t milestone_every = 0;  // …and those whose step is a multiple of this; 0: none

  // "step_00001000"; "step_00001000.partial" while it is being written.
  std::filesystem::path final_path(int64_t step) const;
  std::filesystem::path partial_path(int64_t step) const;

  // Finished ones by step, ascending. A folder that is not there has none.
  std::map<int64_t, std::filesystem::path> list() const;

  // Makes the folder and removes what an interrupted program left in it.
  void prepare() const;
  // The partial one, complete and synced, takes its final name, at once; one of the same step steps aside.
  void commit(int64_t step) const;
  // After commit: makes it last through a power cut, then removes the old ones. May take as long as the disk does.
  void settle(int64_t step) const;

 private:
  void remove_leftovers() const;
  void remove_old(int64_t newest) const;
};

}  // namespace synthesizer
