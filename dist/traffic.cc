#include "dist/traffic.h"

#include "core/base/error.h"

namespace synthesizer {

int64_t sent_bytes(Collective collective, int64_t block_bytes, int size) {
  switch (collective) {
    case Collective::kAllReduce:
      if (reduces_by_gathering(block_bytes, size)) return block_bytes * (size - 1);
      return 2 * block_bytes * (size - 1) / size;
    case Collective::kReduceScatter:
    case Collective::kAllGather:
    case Collective::kAllToAll:
      return block_bytes * (size - 1);
    case Collective::kBroadcast:
      return block_bytes * (size - 1) / size;
    case Collective::kBarrier:
      return 0;
  }
  fail("unknown collective {}", static_cast<int>(collective));
}

}  // namespace synthesizer
