#include "launch/output_folder.h"

#include <system_error>

#include "core/base/error.h"
#include "core/base/file.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

fs::path without_slash(const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

}  // namespace

OutputFolder::OutputFolder(const std::string& option, fs::path path)
    : path_(without_slash(path)), partial_(partial_name(path_)) {
  std::error_code error;
  if (fs::exists(path_, error)) {
    if (!fs::is_directory(path_)) fail_usage("{} {}: there is a file of this name", option, path_.string());
    for (const fs::directory_entry& entry : fs::directory_iterator(path_, error))
      fail_usage("{} {}: not empty: it has {}. Give another folder", option, path_.string(),
                 entry.path().filename().string());
  }
  if (!error) fs::remove_all(partial_, error);
  if (!error) fs::create_directories(partial_, error);
  if (error) fail_usage("{} {}: cannot be made: {}", option, path_.string(), error.message());
}

OutputFolder::~OutputFolder() {
  std::error_code error;
  if (!committed_) fs::remove_all(partial_, error);
}

void OutputFolder::commit() {
  sync_folder(partial_);
  rename_path(partial_, path_);
  sync_folder(path_.parent_path());
  committed_ = true;
}

}  // namespace synthesizer
