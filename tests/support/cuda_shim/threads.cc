// The functions of a thread that its header declares (include/cuda_shim/threads.h, warp.h), and the works of warps.
#include "tests/support/cuda_shim/include/cuda_shim/threads.h"

#include <fmt/format.h>

#include <stdexcept>

#include "tests/support/cuda_shim/block.h"
#include "tests/support/cuda_shim/include/cuda_shim/warp.h"

namespace cuda_shim {

void barrier(const Where& where) { block().barrier(where); }
void give_way(const Where& where) { block().give_way(where); }
void trap(const Where& where) { throw std::runtime_error(fmt::format("__trap at {}:{}", where.file, where.line)); }

void meet(WarpCall& call) { block().meet(call); }
unsigned active_lanes() { return block().active_lanes(); }
int lane() { return block().lane(); }

void work_nothing(WarpCall* const*) {}

void work_shuffle(WarpCall* const lanes[32]) {
  uint64_t values[32];
  for (int lane = 0; lane < 32; ++lane)
    if (lanes[lane] != nullptr) values[lane] = lanes[lane]->value;
  for (int lane = 0; lane < 32; ++lane) {
    if (lanes[lane] == nullptr) continue;
    WarpCall& call = *lanes[lane];
    if (call.source < 0 || call.source >= 32 || lanes[call.source] == nullptr)
      throw std::runtime_error(fmt::format("{} at {}:{}: lane {} takes from lane {}, which mask {:#x} does not name",
                                           call.name, call.where.file, call.where.line, lane, call.source, call.mask));
    call.value = values[call.source];
  }
}

void work_ballot(WarpCall* const lanes[32]) {
  uint64_t bits = 0;
  for (int lane = 0; lane < 32; ++lane)
    if (lanes[lane] != nullptr && lanes[lane]->value != 0) bits |= uint64_t{1} << lane;
  for (int lane = 0; lane < 32; ++lane)
    if (lanes[lane] != nullptr) lanes[lane]->value = bits;
}

}  // namespace cuda_shim
