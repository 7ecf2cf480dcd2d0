#include "tests/faults/mpi_job.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/base/error.h"

namespace synthesizer::testing {

MpiJob::MpiJob(int ranks, const std::vector<std::string>& arguments, const std::filesystem::path& log,
               const std::filesystem::path& scratch) {
  std::vector<std::string> words = {"mpirun", "--oversubscribe", "--bind-to", "none",
                                    // What a killed job leaves behind must not stay on the machine.
                                    "--mca", "orte_tmpdir_base", scratch.string(), "--mca",
                                    "btl_vader_backing_directory", scratch.string(), "-n", std::to_string(ranks)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  launcher_ = ::fork();
  CHECK(launcher_ >= 0, "fork failed");
  if (launcher_ > 0) return;
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  ::dup2(::open("/dev/null", O_RDONLY), 0);
  ::dup2(out, 1);
  ::dup2(out, 2);
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  ::setenv("OMP_NUM_THREADS", "1", 1);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

MpiJob::~MpiJob() {
  if (launcher_ > 0 && !ended()) {
    kill_all();
    wait();
  }
}

bool MpiJob::ended() {
  if (launcher_ < 0) return true;
  if (::waitpid(launcher_, &status_, WNOHANG) != launcher_) return false;
  launcher_ = -1;
  return true;
}

bool MpiJob::wait_until(const std::function<bool()>& condition) {
  while (!ended()) {
    if (condition()) return true;
    std::this_thread::yield();
  }
  return false;
}

std::vector<pid_t> MpiJob::ranks() const {
  std::vector<pid_t> result;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream in(entry.path() / "stat");  // "pid (name) state parent …"
    std::string text;
    std::getline(in, text);
    const size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) continue;
    std::istringstream rest(text.substr(name_end + 1));
    char state = 0;
    pid_t parent = 0;
    if (rest >> state >> parent && parent == launcher_) result.push_back(std::stoi(text));
  }
  return result;
}

void MpiJob::kill_all() {
  const std::vector<pid_t> children = ranks();
  ::kill(launcher_, SIGKILL);
  for (const pid_t pid : children) ::kill(pid, SIGKILL);
}

void MpiJob::kill_rank(size_t index) {
  const std::vector<pid_t> children = ranks();
  CHECK(index < children.size(), "the job has {} ranks", children.size());
  ::kill(children[index], SIGKILL);
}

void MpiJob::signal(int number) { ::kill(launcher_, number); }

int MpiJob::wait() {
  if (launcher_ > 0) {
    ::waitpid(launcher_, &status_, 0);
    launcher_ = -1;
  }
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

}  // namespace synthesizer::testing
