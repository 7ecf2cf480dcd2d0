// NCCL, found and loaded while the program runs: it is linked to nothing, so the program starts where there is none.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "dist/nccl/nccl_api.h"

namespace synthesizer {

class NcclLibrary {
 public:
  // The first libnccl.so.2 of: the file $SYNTHESIZER_NCCL, and no other if that is set; LD_LIBRARY_PATH and the system;
  // /usr/local/cuda; the package of PyPI below `wheels`, a site-packages folder or an environment that has one (empty:
  // none). Throws Error that lists what was tried and why not, or if it is older than 2.18 (ncclCommSplit).
  static NcclLibrary find(const std::filesystem::path& wheels = {});
  // This very file.
  static NcclLibrary load(const std::filesystem::path& file);
  // What find() tries after $SYNTHESIZER_NCCL, in this order.
  static std::vector<std::filesystem::path> candidates(const std::filesystem::path& wheels);

  const NcclApi& api() const { return api_; }
  // 22809 is 2.28.9.
  int version() const { return version_; }
  // Of the file that was loaded.
  const std::filesystem::path& path() const { return path_; }
  // "NCCL 2.28.9 (/usr/lib/x86_64-linux-gnu/libnccl.so.2)": for messages and --version.
  std::string name() const;

 private:
  struct Close {
    void operator()(void* library) const;
  };
  using Handle = std::unique_ptr<void, Close>;

  static Handle open(const std::filesystem::path& file, std::string& why);
  explicit NcclLibrary(Handle handle);

  Handle handle_;
  NcclApi api_ = {};
  int version_ = 0;
  std::filesystem::path path_;
};

// "2.28.9"
std::string nccl_version_name(int version);

}  // namespace synthesizer
