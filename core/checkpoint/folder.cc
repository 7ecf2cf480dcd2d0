#include "core/checkpoint/folder.h"

#include <fcntl.h>
#include <stdio.h>

#include <cerrno>
#include <charconv>
#include <system_error>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step_";
constexpr std::string_view kPartial = ".partial";
constexpr std::string_view kRemoved = ".removed";

// The step of a finished checkpoint's name, or -1.
int64_t step_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return -1;
  name.remove_prefix(kPrefix.size());
  int64_t step = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  return error == std::errc() && end == name.data() + name.size() && name.size() >= 8 ? step : -1;
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) fail("could not remove {}: {}", path.string(), error.message());
}

// Out of the way: a half removed checkpoint never bears a finished one's name.
fs::path put_aside(const fs::path& path) {
  fs::path aside = path;
  aside += kRemoved;
  remove_tree(aside);
  rename_path(path, aside);
  return aside;
}

}  // namespace

fs::path CheckpointFolder::final_path(int64_t step) const { return path / fmt::format("{}{:08}", kPrefix, step); }

fs::path CheckpointFolder::partial_path(int64_t step) const {
  return path / fmt::format("{}{:08}{}", kPrefix, step, kPartial);
}

std::map<int64_t, fs::path> CheckpointFolder::list() const {
  std::map<int64_t, fs::path> found;
  if (!fs::is_directory(path)) return found;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    const int64_t step = step_of(entry.path().filename().string());
    if (step >= 0 && entry.is_directory()) found[step] = entry.path();
  }
  return found;
}

void CheckpointFolder::prepare() const {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail_errno(error.value(), "create", path);
  remove_leftovers();
}

void CheckpointFolder::commit(int64_t step) const {
  const fs::path partial = partial_path(step);
  const fs::path final = final_path(step);
  if (fs::exists(final)) {
    // Both names change hands at once; where the file system cannot do that, the old one steps aside first.
    if (::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, final.c_str(), RENAME_EXCHANGE) == 0) return;
    put_aside(final);
  }
  rename_path(partial, final);
}

void CheckpointFolder::settle(int64_t step) const {
  sync_folder(path);
  remove_old(step);
  remove_leftovers();
}

void CheckpointFolder::remove_leftovers() const {
  std::vector<fs::path> leftovers;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kPrefix) && (name.ends_with(kPartial) || name.ends_with(kRemoved)))
      leftovers.push_back(entry.path());
  }
  for (const fs::path& leftover : leftovers) remove_tree(leftover);
}

void CheckpointFolder::remove_old(int64_t newest) const {
  CHECK(keep >= 1, "{} checkpoints to keep", keep);
  // Later ones than the newest were refused when the run was resumed; they are not counted, and are replaced in time.
  std::map<int64_t, fs::path> found = list();
  found.erase(found.upper_bound(newest), found.end());
  int kept = 0;
  for (auto entry = found.rbegin(); entry != found.rend(); ++entry) {
    if (kept++ < keep) continue;
    if (milestone_every > 0 && entry->first % milestone_every == 0) continue;
    remove_tree(put_aside(entry->second));
  }
}

}  // namespace synthesizer
