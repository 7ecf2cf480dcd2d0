#include "dist/nccl/nccl_library.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "core/base/error.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "libnccl.so.2";
constexpr const char* kVariable = "SYNTHESIZER_NCCL";
constexpr int kOldest = 21800;

// Where PyPI's nvidia-nccl-cu… puts it, below a folder of packages.
fs::path in_packages(const fs::path& packages) { return packages / "nvidia" / "nccl" / "lib" / kFile; }

// An environment's folders of packages: lib/python3.11/site-packages and the like, sorted.
std::vector<fs::path> packages_of(const fs::path& environment) {
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(environment / "lib", ignored))
    if (entry.path().filename().string().starts_with("python")) found.push_back(entry.path() / "site-packages");
  std::sort(found.begin(), found.end());
  return found;
}

template <typename Function>
void find_function(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
}

}  // namespace

void NcclLibrary::Close::operator()(void* library) const { dlclose(library); }

std::string nccl_version_name(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

NcclLibrary::Handle NcclLibrary::open(const fs::path& file, std::string& why) {
  // Its threads may outlive what was made with it: it stays where it is until the program ends.
  Handle handle(dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE));
  if (handle == nullptr) why = dlerror();
  return handle;
}

NcclLibrary::NcclLibrary(Handle handle) : handle_(std::move(handle)) {
  void* const library = handle_.get();
  find_function(library, "ncclGetVersion", api_.GetVersion);
  Dl_info place = {};
  if (api_.GetVersion == nullptr || dladdr(reinterpret_cast<void*>(api_.GetVersion), &place) == 0)
    fail("[nccl] what was loaded as {} has no ncclGetVersion", kFile);
  path_ = place.dli_fname;
  if (api_.GetVersion(&version_) != NcclResult::kSuccess) fail("[nccl] {} does not say its version", path_.string());
  if (version_ < kOldest)
    fail("[nccl] {}: expected {} or newer. Set {} to the file of another", name(), nccl_version_name(kOldest),
         kVariable);
#define FIND_FUNCTION(function)                            \
  find_function(library, "nccl" #function, api_.function); \
  if (api_.function == nullptr) fail("[nccl] {} has no nccl" #function, name())
  FIND_FUNCTION(GetErrorString);
  FIND_FUNCTION(GetLastError);
  FIND_FUNCTION(GetUniqueId);
  FIND_FUNCTION(CommInitRank);
  FIND_FUNCTION(CommSplit);
  FIND_FUNCTION(CommCount);
  FIND_FUNCTION(CommUserRank);
  FIND_FUNCTION(CommGetAsyncError);
  FIND_FUNCTION(CommDestroy);
  FIND_FUNCTION(CommAbort);
  FIND_FUNCTION(GroupStart);
  FIND_FUNCTION(GroupEnd);
  FIND_FUNCTION(AllReduce);
  FIND_FUNCTION(ReduceScatter);
  FIND_FUNCTION(AllGather);
  FIND_FUNCTION(Broadcast);
  FIND_FUNCTION(Send);
  FIND_FUNCTION(Recv);
#undef FIND_FUNCTION
}

NcclLibrary NcclLibrary::load(const fs::path& file) {
  std::string why;
  Handle handle = open(file, why);
  if (handle == nullptr) fail("[nccl] could not load {}: {}", file.string(), why);
  return NcclLibrary(std::move(handle));
}

std::vector<fs::path> NcclLibrary::candidates(const fs::path& wheels) {
  std::vector<fs::path> files = {kFile, fs::path("/usr/local/cuda/lib64") / kFile,
                                 fs::path("/usr/local/cuda/lib") / kFile};
  if (wheels.empty()) return files;
  files.push_back(in_packages(wheels));
  for (const fs::path& packages : packages_of(wheels)) files.push_back(in_packages(packages));
  return files;
}

NcclLibrary NcclLibrary::find(const fs::path& wheels) {
  if (const char* file = std::getenv(kVariable); file != nullptr && *file != '\0') return load(file);
  std::string tried, why;
  for (const fs::path& file : candidates(wheels)) {
    if (Handle handle = open(file, why)) return NcclLibrary(std::move(handle));
    tried += fmt::format("\n  {}: {}", file.string(), why);
  }
  fail("[nccl] no {}, which several GPUs need. Install NCCL {} or newer, or set {} to its file. Tried:{}", kFile,
       nccl_version_name(kOldest), kVariable, tried);
}

std::string NcclLibrary::name() const {
  return fmt::format("NCCL {} ({})", nccl_version_name(version_), path_.string());
}

}  // namespace synthesizer
