#include "dist/nccl/nccl_communicator.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "dist/nccl/local_gpu.h"
#include "dist/nccl/nccl_exchange.h"
#include "dist/nccl/nccl_family.h"
#include "dist/nccl/nccl_id.h"

namespace synthesizer {
namespace {

NcclType type_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return NcclType::kFloat32;
    case DType::kFloat64:
      return NcclType::kFloat64;
    case DType::kBFloat16:
      return NcclType::kBFloat16;
    case DType::kInt32:
      return NcclType::kInt32;
    case DType::kInt64:
      return NcclType::kInt64;
  }
  fail("[nccl] unknown dtype {}", static_cast<int>(dtype));
}

NcclOperation operation_of(Reduction reduction) {
  return reduction == Reduction::kSum ? NcclOperation::kSum : NcclOperation::kMax;
}

std::string place_of(int rank, int size) { return fmt::format("rank {}/{}", rank, size); }

// What all ranks must know of each other before any waits in NCCL for the others.
NcclId agree(const NcclLibrary& library, const cuda::CudaDevice& device, Communicator& host) {
  const auto size = static_cast<size_t>(host.size());
  const GpuId gpu = gpu_id(device.index());
  std::vector<GpuId> gpus(size);
  host.all_gather(&gpu, gpus.data(), sizeof(GpuId) / size_of(DType::kInt32), DType::kInt32);
  const int32_t version = library.version();
  std::vector<int32_t> versions(size);
  host.all_gather(&version, versions.data(), 1, DType::kInt32);
  for (size_t rank = 1; rank < size; ++rank)
    if (versions[rank] != versions[0])
      fail("[nccl] rank {} has NCCL {}, rank 0 {}: expected one version on all hosts", rank,
           nccl_version_name(versions[rank]), nccl_version_name(versions[0]));
  require_own_gpus(gpus, version);
  return share_id(library, host);
}

}  // namespace

NcclCommunicator::NcclCommunicator(const NcclLibrary& library, cuda::CudaDevice& device, Communicator& host,
                                   NcclOptions options)
    : NcclCommunicator(library, device, agree(library, device, host), host.rank(), host.size(), options) {}

NcclCommunicator::NcclCommunicator(const NcclLibrary& library, cuda::CudaDevice& device, const NcclId& id, int rank,
                                   int size, NcclOptions options)
    : owned_(std::make_unique<Family>(library, device, options, size)), family_(*owned_) {
  cuda::check(cudaSetDevice(device.index()), "choosing a GPU");  // NCCL takes the calling thread's
  handle_ = std::make_unique<NcclHandle>(family_.watch, place_of(rank, size), [&](NcclComm* comm) {
    NcclConfig config{.blocking = 0};
    return library.api().CommInitRankConfig(comm, size, id, rank, &config);
  });
}

NcclCommunicator::NcclCommunicator(Family& family, std::unique_ptr<NcclHandle> handle)
    : family_(family), handle_(std::move(handle)) {}

NcclCommunicator::~NcclCommunicator() = default;

Device* NcclCommunicator::device() const { return &family_.device; }

cudaStream_t NcclCommunicator::stream() const { return family_.device.communication_stream(); }

void NcclCommunicator::all_reduce(void* data, int64_t count, DType dtype, Reduction reduction) {
  if (size() == 1 || count == 0) return;
  const NcclCall call{"all_reduce", count * size_of(dtype)};
  if (joins(dtype, reduction)) return all_reduce_joined(call, data, count, dtype, reduction);
  handle_->call(call, [&](NcclComm comm) {
    return family_.api.AllReduce(data, data, static_cast<size_t>(count), type_of(dtype), operation_of(reduction), comm,
                                 stream());
  });
}

void NcclCommunicator::reduce_scatter(const void* in, void* out, int64_t count, DType dtype, Reduction reduction) {
  if (count == 0) return;
  const NcclCall call{"reduce_scatter", count * size_of(dtype) * size()};
  if (joins(dtype, reduction)) return reduce_scatter_joined(call, in, out, count, dtype, reduction);
  handle_->call(call, [&](NcclComm comm) {
    return family_.api.ReduceScatter(in, out, static_cast<size_t>(count), type_of(dtype), operation_of(reduction), comm,
                                     stream());
  });
}

void NcclCommunicator::gather(const NcclCall& call, const void* in, void* out, int64_t bytes) {
  handle_->call(call, [&](NcclComm comm) {
    return family_.api.AllGather(in, out, static_cast<size_t>(bytes), NcclType::kInt8, comm, stream());
  });
}

void NcclCommunicator::all_gather(const void* in, void* out, int64_t count, DType dtype) {
  if (count == 0) return;
  const int64_t bytes = count * size_of(dtype);
  gather({"all_gather", bytes * size()}, in, out, bytes);
}

void NcclCommunicator::all_to_all(const void* in, void* out, int64_t count, DType dtype) {
  if (count == 0) return;
  const int64_t block = count * size_of(dtype);
  const auto* const from = static_cast<const std::byte*>(in);
  auto* const to = static_cast<std::byte*>(out);
  exchange(
      {"all_to_all", block * size()},
      [&](int r) {
        return Sent{from + r * block, block};
      },
      [&](int r) {
        return Received{to + r * block, block};
      });
  cuda::check(cudaMemcpyAsync(to + rank() * block, from + rank() * block, static_cast<size_t>(block),
                              cudaMemcpyDeviceToDevice, stream()),
              "copying what stays");
}

void NcclCommunicator::broadcast(void* data, int64_t bytes, int root) {
  CHECK(root >= 0 && root < size(), "broadcast from rank {} of {}", root, size());
  if (size() == 1 || bytes == 0) return;
  handle_->call({"broadcast", bytes}, [&](NcclComm comm) {
    return family_.api.Broadcast(data, data, static_cast<size_t>(bytes), NcclType::kInt8, root, comm, stream());
  });
}

// A sum that nobody reads: what comes after it on a rank's stream comes after what came before it on all.
void NcclCommunicator::barrier() {
  if (size() == 1) return;
  std::byte* const word = family_.scratch(0);
  handle_->call({"barrier", size_of(DType::kInt32)}, [&](NcclComm comm) {
    return family_.api.AllReduce(word, word, 1, NcclType::kInt32, NcclOperation::kSum, comm, stream());
  });
}

std::unique_ptr<Communicator> NcclCommunicator::split(int color, int key) {
  CHECK(color >= 0, "split by colour {}", color);
  // NCCL wants nothing of this communicator to be under way.
  family_.device.finish();
  std::unique_ptr<NcclHandle> made;
  handle_->call({"split", 0}, [&](NcclComm comm) {
    NcclResult result = NcclResult::kSuccess;
    made = std::make_unique<NcclHandle>(family_.watch, place_of(rank(), size()), [&](NcclComm* part) {
      // NCCL says which communicator is made, and lets the old one be used, once this has ended on the old one.
      return result = family_.watch.wait(comm, family_.api.CommSplit(comm, color, key, part, nullptr));
    });
    return result;
  });
  return std::unique_ptr<Communicator>(new NcclCommunicator(family_, std::move(made)));
}

}  // namespace synthesizer
