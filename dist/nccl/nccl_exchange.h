// NcclCommunicator's sends and receives, for the sources that have some: all of one exchange are given to NCCL at once,
// so that none waits for another.
#pragma once

#include "dist/nccl/nccl_family.h"

namespace synthesizer {

template <typename SentTo, typename ReceivedFrom>
void NcclCommunicator::exchange(const NcclCall& call, const SentTo& sent, const ReceivedFrom& received) {
  const NcclApi& api = family_.api;
  handle_->call_group(call, [&](NcclComm comm) {
    NcclResult result = NcclResult::kSuccess;
    const auto fine = [&] { return result == NcclResult::kSuccess || result == NcclResult::kInProgress; };
    for (int step = 1; step < size() && fine(); ++step) {
      const int from = (rank() + step) % size(), to = (rank() - step + size()) % size();
      const Sent what = sent(to);
      const Received place = received(from);
      if (what.bytes > 0)
        result = api.Send(what.data, static_cast<size_t>(what.bytes), NcclType::kInt8, to, comm, stream());
      if (place.bytes > 0 && fine())
        result = api.Recv(place.data, static_cast<size_t>(place.bytes), NcclType::kInt8, from, comm, stream());
    }
    return result;
  });
}

}  // namespace synthesizer
