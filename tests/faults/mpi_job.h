// A run of the program under mpirun that a test can watch and kill.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace synthesizer::testing {

class MpiJob {
 public:
  // Starts `mpirun -n ranks arguments…`, its output appended to `log`, its temporary files under `scratch`.
  MpiJob(int ranks, const std::vector<std::string>& arguments, const std::filesystem::path& log,
         const std::filesystem::path& scratch);
  // Kills what is left.
  ~MpiJob();
  MpiJob(const MpiJob&) = delete;
  MpiJob& operator=(const MpiJob&) = delete;

  // Returns when `condition` holds (looked at whenever `folder` or one below it may have changed) or the job has ended;
  // whether it still ran when the condition was met.
  bool wait_until(const std::function<bool()>& condition);
  // kill -9 of mpirun and every rank at once.
  void kill_all();
  // kill -9 of one rank alone: mpirun ends the others.
  void kill_rank(size_t index);
  void signal(int number);
  // Waits for mpirun; its exit code, or 128 + signal.
  int wait();

 private:
  std::vector<pid_t> ranks() const;
  bool ended();

  pid_t launcher_ = -1;
  int status_ = 0;
};

}  // namespace synthesizer::testing
