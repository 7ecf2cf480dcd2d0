#include "dist/fake_communicator.h"

#include "core/base/error.h"

namespace synthesizer {

FakeCommunicator::FakeCommunicator(int rank, int size) : rank_(rank), size_(size) {
  CHECK(size >= 1 && rank >= 0 && rank < size, "rank {} of {}", rank, size);
}

void FakeCommunicator::add(Collective collective, int64_t block_bytes) {
  Traffic& traffic = traffic_[static_cast<size_t>(collective)];
  ++traffic.calls;
  traffic.bytes += sent_bytes(collective, block_bytes, size_);
}

void FakeCommunicator::all_reduce(void*, int64_t count, DType dtype, Reduction) {
  add(Collective::kAllReduce, count * size_of(dtype));
}

void FakeCommunicator::reduce_scatter(const void*, void*, int64_t count, DType dtype, Reduction) {
  add(Collective::kReduceScatter, count * size_of(dtype));
}

void FakeCommunicator::all_reduce_rounded(float*, int64_t count) {
  add(Collective::kAllReduce, count * size_of(DType::kBFloat16));
}

void FakeCommunicator::reduce_scatter_rounded(const float*, float*, int64_t count) {
  add(Collective::kReduceScatter, count * size_of(DType::kBFloat16));
}

void FakeCommunicator::all_gather(const void*, void*, int64_t count, DType dtype) {
  add(Collective::kAllGather, count * size_of(dtype));
}

void FakeCommunicator::all_to_all(const void*, void*, int64_t count, DType dtype) {
  add(Collective::kAllToAll, count * size_of(dtype));
}

void FakeCommunicator::broadcast(void*, int64_t bytes, int) { add(Collective::kBroadcast, bytes); }

void FakeCommunicator::barrier() { add(Collective::kBarrier, 0); }

std::unique_ptr<Communicator> FakeCommunicator::split(int, int) {
  fail("a fake communicator cannot be split: the other ranks' colours are not known [rank {}/{}]", rank_, size_);
}

}  // namespace synthesizer
