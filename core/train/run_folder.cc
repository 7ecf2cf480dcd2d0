#include "core/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "core/graph/agreement.h"
#include "core/train/metrics.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

constexpr auto kLockRetry = std::chrono::milliseconds(100);

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "an unknown host";
}

// What a program killed before it wrote config.txtpb can have left.
bool is_leftover(const fs::path& path) {
  return path.filename() == "lock" || path.filename() == "config.txtpb.partial";
}

}  // namespace

RunFolder::RunFolder(fs::path path, const std::string& config, const CompareConfigs& compare, Communicator& world,
                     std::chrono::milliseconds wait)
    : path_(std::move(path)) {
  run_on_first(world, [&] { as_input([&] { open(config, compare, wait); }); });
  int32_t existed = existed_ ? 1 : 0;
  world.broadcast(&existed, sizeof existed, 0);
  existed_ = existed == 1;
}

void RunFolder::open(const std::string& config, const CompareConfigs& compare, std::chrono::milliseconds wait) {
  if (fs::exists(path_) && !fs::is_directory(path_))
    fail_usage("{}: not a folder, expected a run's folder or a new name. Give another --run", path_.string());
  if (fs::exists(this->config())) {
    compare(read_text_file(this->config()), config);
  } else if (fs::exists(path_)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(path_))
      if (!is_leftover(entry.path()))
        fail_usage("{}: not a run's folder, and not empty: it has {} but no config.txtpb. Give another --run",
                   path_.string(), entry.path().filename().string());
  }
  require_writable("run", path_);
  check_metrics(metrics());
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) fail_errno(error.value(), "create", path_);
  lock(wait);
  // Judged again: the program that was waited for may have begun the run.
  existed_ = fs::exists(this->config());
  const std::string before = existed_ ? read_text_file(this->config()) : "";
  if (existed_) compare(before, config);
  if (!existed_ || before != config) replace_text_file(this->config(), config);
}

void RunFolder::lock(std::chrono::milliseconds wait) {
  const auto deadline = std::chrono::steady_clock::now() + wait;
  lock_ = File(path_ / "lock", O_RDWR | O_CREAT);
  while (::flock(lock_.descriptor(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) fail_errno(errno, "lock", lock_.path());
    if (std::chrono::steady_clock::now() >= deadline) {
      std::string holder = read_text_file(lock_.path());
      std::erase(holder, '\n');
      fail_usage("{}: the run is in use by {}; waited {:.1f} s. Stop that program, or give another --run",
                 path_.string(), holder.empty() ? "another program" : holder,
                 std::chrono::duration<double>(wait).count());
    }
    std::this_thread::sleep_for(std::min<std::chrono::milliseconds>(kLockRetry, wait));
  }
  const std::string holder = fmt::format("process {} on {}\n", ::getpid(), host_name());
  lock_.resize(0);
  lock_.write_at(0, holder.data(), static_cast<int64_t>(holder.size()));
}

}  // namespace synthesizer
