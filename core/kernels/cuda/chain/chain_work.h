// What a chain asks of a launch: its program, in which order it goes over its elements, and the memory of its sums.
#pragma once

#include <algorithm>
#include <vector>

#include "core/kernels/cuda/chain/chain_kernels.h"
#include "core/ops/chain.h"
#include "core/tensor/storage.h"

namespace synthesizer::cuda {

// ChainOrder, and whether rows or columns are reduced.
enum class ChainKind { kElements, kRows, kColumns, kRowsAndColumns };

struct ChainWork {
  // Where what a sum has found lies in the workspace, in bytes; -1: it needs none.
  struct SumSpace {
    int64_t tiles_at = -1, partial_at = -1;
  };

  explicit ChainWork(const KernelCase& c) : program(c) {
    const std::vector<ChainSum>& sums = program.sums();
    if (sums.empty()) return;
    const auto columns = std::find_if(sums.begin(), sums.end(), [](const ChainSum& sum) { return sum.plan.columns; });
    plan = (columns == sums.end() ? sums.begin() : columns)->plan;
    kind = c.as<Chain>().order() == ChainOrder::kRowsAndColumns ? ChainKind::kRowsAndColumns
           : plan.columns                                       ? ChainKind::kColumns
                                                                : ChainKind::kRows;
  }

  // Places what the sums need from `at` on; gives where that ends.
  int64_t place_sums(int64_t at) {
    const auto take = [&](int64_t doubles) {
      const int64_t begin = doubles == 0 ? -1 : at;
      at += align_up(doubles * 8);
      return begin;
    };
    spaces.clear();
    for (const ChainSum& sum : program.sums()) {
      const ReducePlan& of = sum.plan;
      const bool by_tile = kind == ChainKind::kRowsAndColumns && !of.columns && of.tiles > 1;
      SumSpace& space = spaces.emplace_back();
      space.tiles_at = take(by_tile ? of.tiles * of.outputs : 0);
      space.partial_at = take(of.groups > 1 ? of.groups * of.outputs : 0);
    }
    return at;
  }

  // Of the sums, in the workspace: where the kernel leaves what it finds.
  std::vector<double*> first_places(void* workspace) const {
    std::vector<double*> places;
    for (const SumSpace& space : spaces)
      places.push_back(address(workspace, space.tiles_at >= 0 ? space.tiles_at : space.partial_at));
    return places;
  }
  static double* address(void* workspace, int64_t at) {
    return at < 0 ? nullptr : reinterpret_cast<double*>(static_cast<std::byte*>(workspace) + at);
  }

  // Warps that have something to do, of threads that take so many elements at a time.
  int64_t warps(int width) const {
    const int64_t of_warp = kWarp * width;
    return program.sums().empty() ? (program.count() + of_warp - 1) / of_warp : plan.items;
  }

  ChainProgram program;
  ChainKind kind = ChainKind::kElements;
  ReducePlan plan;  // that warps take their items by; of elements: none
  std::vector<SumSpace> spaces;
};

// The block's threads: as many as find room for their slots; the largest device's multiprocessors have 227 KiB, others
// less. And its shared memory.
struct ChainBlock {
  int threads = kThreads;
  int64_t shared_bytes = 0;
};
template <typename T, typename Order>
int64_t chain_shared_bytes(const ChainProgram& program, int threads) {
  const int64_t doubles = Order::kDoubles * static_cast<int64_t>(program.sums().size());
  return ChainMemory<T>::program_bytes(program.bytes()) +
         threads * ChainMemory<T>::thread_bytes(program.slots(), doubles);
}
template <typename T, typename Order>
ChainBlock chain_block(const ChainProgram& program) {
  constexpr int64_t kRoom = 48 << 10;
  ChainBlock block;
  while (block.threads > kWarp && chain_shared_bytes<T, Order>(program, block.threads) > kRoom) block.threads /= 2;
  block.shared_bytes = chain_shared_bytes<T, Order>(program, block.threads);
  return block;
}

// visit.operator()<Order>(), of what there is of chains in T.
template <typename T, typename Visit>
void with_order(ChainKind kind, const Visit& visit) {
  if constexpr (sizeof(T) > 2) {
    if (kind == ChainKind::kRows) return visit.template operator()<ChainRows>();
    if (kind == ChainKind::kColumns) return visit.template operator()<ChainColumns<false>>();
    if (kind == ChainKind::kRowsAndColumns) return visit.template operator()<ChainColumns<true>>();
  }
  return visit.template operator()<ChainElements>();
}

}  // namespace synthesizer::cuda
