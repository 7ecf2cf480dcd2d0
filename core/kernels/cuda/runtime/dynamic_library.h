// A shared library that is loaded while the program runs, and where it may be.
#pragma once

#include <string>
#include <vector>

namespace synthesizer::cuda {

// In this order: the file that the environment variable names, which then must be there; where the system looks
// (LD_LIBRARY_PATH, the loader's cache); the CUDA toolkit ($CUDA_HOME, /usr/local/cuda); the wheels' folders in
// site-packages of $VIRTUAL_ENV.
struct LibraryPlaces {
  std::string name;                 // for messages
  std::string variable;             // of the environment
  std::vector<std::string> files;   // the newest first
  std::vector<std::string> wheels;  // folders in site-packages
};

class DynamicLibrary {
 public:
  // Loads the first that is there, for as long as the process lives. Throws Error that lists where it was looked for
  // and what the loader said last.
  explicit DynamicLibrary(const LibraryPlaces& places);

  const std::string& path() const { return path_; }
  // Throws Error if the library has no such function.
  template <typename Function>
  void load(const char* function, Function& to) const {
    to = reinterpret_cast<Function>(address(function));
  }

 private:
  void* address(const char* function) const;

  std::string name_, path_;
  void* handle_ = nullptr;
};

}  // namespace synthesizer::cuda
