#include "core/kernels/cuda/runtime/dynamic_library.h"

#include <dlfcn.h>
#include <fmt/ranges.h>
#include <link.h>

#include <cstdlib>
#include <filesystem>

#include "core/base/error.h"

namespace synthesizer::cuda {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Site-packages of the Python environment that is active.
std::vector<fs::path> site_packages() {
  std::vector<fs::path> found;
  const std::string environment = variable("VIRTUAL_ENV");
  std::error_code ignored;
  if (!environment.empty())
    for (const auto& entry : fs::directory_iterator(fs::path(environment) / "lib", ignored))
      if (entry.path().filename().string().starts_with("python")) found.push_back(entry.path() / "site-packages");
  return found;
}

std::vector<std::string> candidates(const LibraryPlaces& places) {
  if (const std::string named = variable(places.variable.c_str()); !named.empty()) return {named};
  std::vector<std::string> all = places.files;  // where the system looks
  std::vector<fs::path> folders = {"/usr/local/cuda/lib64"};
  if (const std::string home = variable("CUDA_HOME"); !home.empty()) folders.insert(folders.begin(), home + "/lib64");
  for (const fs::path& packages : site_packages())
    for (const std::string& wheel : places.wheels) folders.push_back(packages / wheel);
  for (const fs::path& folder : folders)
    for (const std::string& file : places.files) all.push_back((folder / file).string());
  return all;
}

}  // namespace

DynamicLibrary::DynamicLibrary(const LibraryPlaces& places) : name_(places.name) {
  const std::vector<std::string> all = candidates(places);
  std::string said;
  for (const std::string& file : all) {
    handle_ = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ != nullptr) break;
    said = dlerror();
  }
  if (handle_ == nullptr)
    fail("{} was not found. Looked for {}; {} names another file. The loader said: {}", name_, fmt::join(all, ", "),
         places.variable, said);
  link_map* map = nullptr;
  path_ = dlinfo(handle_, RTLD_DI_LINKMAP, &map) == 0 && map->l_name != nullptr ? map->l_name : all.front();
}

void* DynamicLibrary::address(const char* function) const {
  void* const found = dlsym(handle_, function);
  if (found == nullptr) fail("{} ({}) has no {}: another version is needed", name_, path_, function);
  return found;
}

}  // namespace synthesizer::cuda
