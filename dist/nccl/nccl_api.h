// What is used of NCCL's C interface, in declarations of our own: the library is loaded while the program runs, and no
// header of it is needed to build. The names and numbers are part of its stable binary interface (nccl.h).
#pragma once

#include <cstddef>
#include <limits>

struct ncclComm;
struct CUstream_st;

namespace synthesizer {

using NcclComm = ncclComm*;
using NcclStream = CUstream_st*;

// ncclUniqueId: by it the ranks of a new communicator find each other.
struct NcclId {
  char bytes[128];
};

// ncclConfig_t as of NCCL 2.18; newer ones read no more of it than its size and version say.
struct NcclConfig {
  static constexpr int kUnset = std::numeric_limits<int>::min();
  size_t size = sizeof(NcclConfig);
  unsigned magic = 0xcafebeef;
  unsigned version = 21800;
  int blocking = kUnset;  // 0: calls return kInProgress where they would wait for other ranks
  int cluster_size = kUnset, least_blocks = kUnset, most_blocks = kUnset;
  const char* network = nullptr;
  int split_share = kUnset;
  int unused = kUnset;
};

// ncclResult_t.
enum class NcclResult : int {
  kSuccess = 0,
  kUnhandledCudaError = 1,
  kSystemError = 2,
  kInternalError = 3,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6,
  kInProgress = 7,
};

// ncclDataType_t.
enum class NcclType : int { kInt8 = 0, kInt32 = 2, kInt64 = 4, kFloat32 = 7, kFloat64 = 8, kBFloat16 = 9 };

// ncclRedOp_t.
enum class NcclOperation : int { kSum = 0, kMax = 2 };

// The library's functions, each under its name there without "nccl".
struct NcclApi {
  NcclResult (*GetVersion)(int* version);
  const char* (*GetErrorString)(NcclResult result);
  const char* (*GetLastError)(NcclComm comm);
  NcclResult (*GetUniqueId)(NcclId* id);
  NcclResult (*CommInitRankConfig)(NcclComm* comm, int ranks, NcclId id, int rank, NcclConfig* config);
  NcclResult (*CommSplit)(NcclComm comm, int color, int key, NcclComm* made, NcclConfig* config);
  NcclResult (*CommCount)(NcclComm comm, int* count);
  NcclResult (*CommUserRank)(NcclComm comm, int* rank);
  NcclResult (*CommGetAsyncError)(NcclComm comm, NcclResult* error);
  NcclResult (*CommDestroy)(NcclComm comm);
  NcclResult (*CommAbort)(NcclComm comm);
  NcclResult (*GroupStart)();
  NcclResult (*GroupEnd)();
  NcclResult (*AllReduce)(const void* in, void* out, size_t count, NcclType type, NcclOperation operation,
                          NcclComm comm, NcclStream stream);
  NcclResult (*ReduceScatter)(const void* in, void* out, size_t count, NcclType type, NcclOperation operation,
                              NcclComm comm, NcclStream stream);
  NcclResult (*AllGather)(const void* in, void* out, size_t count, NcclType type, NcclComm comm, NcclStream stream);
  NcclResult (*Broadcast)(const void* in, void* out, size_t count, NcclType type, int root, NcclComm comm,
                          NcclStream stream);
  NcclResult (*Send)(const void* data, size_t count, NcclType type, int to, NcclComm comm, NcclStream stream);
  NcclResult (*Recv)(void* data, size_t count, NcclType type, int from, NcclComm comm, NcclStream stream);
};

}  // namespace synthesizer
