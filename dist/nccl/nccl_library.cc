#include "dist/nccl/nccl_library.h"

#include "core/base/error.h"

namespace synthesizer {
namespace {

constexpr const char* kVariable = "SYNTHESIZER_NCCL";
constexpr int kOldest = 21800;

}  // namespace

std::string nccl_version_name(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

NcclLibrary::NcclLibrary()
    : library_({.name = "[nccl] NCCL, which several GPUs need,",
                .variable = kVariable,
                .files = {"libnccl.so.2"},
                .wheels = {"nvidia/nccl/lib"}}) {
  library_.load("ncclGetVersion", api_.GetVersion);
  if (api_.GetVersion(&version_) != NcclResult::kSuccess) fail("[nccl] {} does not say its version", library_.path());
  if (version_ < kOldest)
    fail("[nccl] {}: expected {} or newer. {} names another file", name(), nccl_version_name(kOldest), kVariable);
  library_.load("ncclGetErrorString", api_.GetErrorString);
  library_.load("ncclGetLastError", api_.GetLastError);
  library_.load("ncclGetUniqueId", api_.GetUniqueId);
  library_.load("ncclCommInitRankConfig", api_.CommInitRankConfig);
  library_.load("ncclCommSplit", api_.CommSplit);
  library_.load("ncclCommCount", api_.CommCount);
  library_.load("ncclCommUserRank", api_.CommUserRank);
  library_.load("ncclCommGetAsyncError", api_.CommGetAsyncError);
  library_.load("ncclCommDestroy", api_.CommDestroy);
  library_.load("ncclCommAbort", api_.CommAbort);
  library_.load("ncclGroupStart", api_.GroupStart);
  library_.load("ncclGroupEnd", api_.GroupEnd);
  library_.load("ncclAllReduce", api_.AllReduce);
  library_.load("ncclReduceScatter", api_.ReduceScatter);
  library_.load("ncclAllGather", api_.AllGather);
  library_.load("ncclBroadcast", api_.Broadcast);
  library_.load("ncclSend", api_.Send);
  library_.load("ncclRecv", api_.Recv);
}

std::string NcclLibrary::name() const {
  return fmt::format("NCCL {} ({})", nccl_version_name(version_), library_.path());
}

}  // namespace synthesizer
