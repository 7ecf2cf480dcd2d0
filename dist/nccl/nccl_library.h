// NCCL, found and loaded while the program runs: it is linked to nothing, so the program starts where there is none.
#pragma once

#include <string>

#include "core/kernels/cuda/runtime/dynamic_library.h"
#include "dist/nccl/nccl_api.h"

namespace synthesizer {

class NcclLibrary {
 public:
  // libnccl.so.2, where core/kernels/cuda/runtime/dynamic_library.h looks: the file that SYNTHESIZER_NCCL names, the
  // system's, the toolkit's, that of PyPI's nvidia-nccl. Throws Error that lists where it was looked for, or if it is
  // older than 2.18 (ncclCommSplit).
  NcclLibrary();

  const NcclApi& api() const { return api_; }
  // 22809 is 2.28.9.
  int version() const { return version_; }
  // "NCCL 2.28.9 (/usr/lib/x86_64-linux-gnu/libnccl.so.2)": for messages and --version.
  std::string name() const;

 private:
  cuda::DynamicLibrary library_;
  NcclApi api_ = {};
  int version_ = 0;
};

// "2.28.9"
std::string nccl_version_name(int version);

}  // namespace synthesizer
