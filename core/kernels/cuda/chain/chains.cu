// Many chains of one order at once: a launch for all that go over their elements in the same way, one that joins the
// tiles of their sums and one that combines the groups.
#include <array>
#include <utility>

#include "core/kernels/cuda/chain/chain_work.h"
#include "core/kernels/cuda/device/combine.h"
#include "core/kernels/cuda/runtime/launch_table.h"
#include "core/kernels/cuda/update/horizontal_kernels.h"
#include "core/kernels/horizontal_parts.h"

namespace synthesizer::cuda {
namespace {

struct ChainEntry {
  ReducePlan plan;
  int64_t program_at;  // in the table, bytes
  int32_t words;
};
struct JoinEntry {
  ReducePlan plan;
  const double* tiles;
  double* partial;
  void* y;
};
struct CombineEntry {
  const double* partial;
  void* y;
  int64_t groups, outputs;
  int32_t together;
};

template <typename T, typename Order>
__global__ void __launch_bounds__(kThreads, 3)
    chains_kernel(const unsigned char* table, const ChainEntry* entries, const BlockPlace* places) {
  const BlockPlace place = places[blockIdx.x];
  const ChainEntry& entry = entries[place.entry];
  const ChainMemory<T> memory(reinterpret_cast<const uint4*>(table + entry.program_at), entry.words);
  const ChainThread<T> thread(shared_memory(), memory.slots);
  Order::run(place.slice(), thread, memory.sums, entry.plan);
}

template <typename T>
__global__ void join_all_tiles_kernel(const JoinEntry* entries, const BlockPlace* places) {
  const BlockPlace place = places[blockIdx.x];
  const JoinEntry& entry = entries[place.entry];
  join_tiles<T>(place.slice(), entry.tiles, entry.partial, static_cast<T*>(entry.y), entry.plan);
}

template <typename T>
__global__ void combine_all_kernel(const CombineEntry* entries, const BlockPlace* places) {
  const BlockPlace place = places[blockIdx.x];
  const CombineEntry& entry = entries[place.entry];
  combine_block<AddUp>(entry.partial, static_cast<T*>(entry.y), entry.groups, entry.outputs, entry.together,
                       place.block);
}

constexpr std::array kKinds = {ChainKind::kElements, ChainKind::kRows, ChainKind::kColumns, ChainKind::kRowsAndColumns};

// In the workspace lies the table (entries, programs), then the parts of each sum.
template <typename T>
struct ChainsLayout {
  // Those chains that one launch takes.
  struct Launch {
    ChainKind kind;
    std::vector<size_t> chains;
    ChainBlock block;  // what the largest of them needs
    LaunchSection<ChainEntry> section;
  };

  explicit ChainsLayout(const KernelCase& c) : places(part_places(c.as<HorizontalFusion>())) {
    for (const PartPlace& place : places) {
      work.emplace_back(place.of(c));
      program_at.push_back(table.take(work.back().program.bytes()));
    }
    for (const ChainKind kind : kKinds) add_launch(kind);
    std::vector<int64_t> to_join, to_combine;
    for (ChainWork& of : work) {
      of.place_sums(0);
      for (size_t i = 0; i < of.spaces.size(); ++i) {
        const ReducePlan& plan = of.program.sums()[i].plan;
        if (of.spaces[i].tiles_at >= 0) to_join.push_back(blocks_for(plan.groups * plan.outputs));
        const int64_t together = combined_together(plan.outputs);
        if (of.spaces[i].partial_at >= 0) to_combine.push_back((plan.outputs + together - 1) / together);
      }
    }
    joins = table.section<JoinEntry>(to_join);
    combines = table.exact_section<CombineEntry>(to_combine);
    bytes = align_up(table.bytes());
    for (ChainWork& of : work) bytes = of.place_sums(bytes);
  }

  std::vector<PartPlace> places;
  std::vector<ChainWork> work;
  std::vector<int64_t> program_at;
  TableLayout table;
  std::vector<Launch> launches;
  LaunchSection<JoinEntry> joins;
  LaunchSection<CombineEntry> combines;
  int64_t bytes = 0;

 private:
  void add_launch(ChainKind kind) {
    Launch launch{kind, {}, {}, {}};
    for (size_t i = 0; i < work.size(); ++i)
      if (work[i].kind == kind) launch.chains.push_back(i);
    if (launch.chains.empty()) return;
    with_order<T>(kind, [&]<typename Order>() {
      for (const size_t i : launch.chains)
        launch.block.threads = std::min(launch.block.threads, chain_block<T, Order>(work[i].program).threads);
      for (const size_t i : launch.chains)
        launch.block.shared_bytes =
            std::max(launch.block.shared_bytes, chain_shared_bytes<T, Order>(work[i].program, launch.block.threads));
    });
    std::vector<int64_t> wanted;
    for (const size_t i : launch.chains)
      wanted.push_back((work[i].warps(kChainWidth<T>) * kWarp + launch.block.threads - 1) / launch.block.threads);
    launch.section = table.section<ChainEntry>(wanted);
    launches.push_back(std::move(launch));
  }
};

template <typename T>
class ChainsKernel : public Kernel {
 public:
  explicit ChainsKernel(const KernelCase& c)
      : stream_(c.context.stream), layout_(c), table_(*c.context.device, layout_.table.bytes()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    if (table_.begin(stream_, inputs, outputs, workspace)) fill(inputs, outputs, workspace);
    table_.send(stream_, workspace);
    for (const auto& of : layout_.launches)
      with_order<T>(of.kind, [&]<typename Order>() {
        launch(stream_, {"chains_kernel", of.section.grid(), of.block.threads, of.block.shared_bytes},
               chains_kernel<T, Order>, static_cast<const unsigned char*>(workspace), of.section.entries(workspace),
               of.section.blocks(workspace));
      });
    launch(stream_, {"join_all_tiles_kernel", layout_.joins.grid()}, join_all_tiles_kernel<T>,
           layout_.joins.entries(workspace), layout_.joins.blocks(workspace));
    launch(stream_, {"combine_all_kernel", layout_.combines.grid(), kThreads, kThreads * 8}, combine_all_kernel<T>,
           layout_.combines.entries(workspace), layout_.combines.blocks(workspace));
  }

 private:
  void fill(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) {
    constexpr int64_t kWord = sizeof(uint4);
    std::vector<JoinEntry> joins;
    std::vector<CombineEntry> combines;
    for (size_t i = 0; i < layout_.work.size(); ++i) {
      ChainWork& work = layout_.work[i];
      const std::span<void* const> results = layout_.places[i].of_outputs(outputs);
      work.program.set_memory(layout_.places[i].of_inputs(inputs), results, work.first_places(workspace));
      table_.put(layout_.program_at[i], work.program.data(), static_cast<size_t>(work.program.bytes()));
      for (size_t s = 0; s < work.spaces.size(); ++s) {
        const ChainSum& sum = work.program.sums()[s];
        const double* const tiles = ChainWork::address(workspace, work.spaces[s].tiles_at);
        double* const partial = ChainWork::address(workspace, work.spaces[s].partial_at);
        if (tiles != nullptr) joins.push_back({sum.plan, tiles, partial, results[sum.output]});
        if (partial != nullptr)
          combines.push_back(
              {partial, results[sum.output], sum.plan.groups, sum.plan.outputs, combined_together(sum.plan.outputs)});
      }
    }
    for (const auto& of : layout_.launches) {
      std::vector<ChainEntry> entries;
      for (const size_t i : of.chains)
        entries.push_back({layout_.work[i].plan, layout_.program_at[i],
                           static_cast<int32_t>(layout_.work[i].program.bytes() / kWord)});
      table_.put(of.section, entries);
    }
    table_.put(layout_.joins, joins);
    table_.put(layout_.combines, combines);
  }

  cudaStream_t stream_;
  ChainsLayout<T> layout_;
  LaunchTable table_;
};

DType dtype_of(const KernelCase& c) {
  const PartPlace first = part_places(c.as<HorizontalFusion>())[0];
  return static_cast<const Chain*>(first.op)->dtype(first.of(c).inputs);
}

}  // namespace

std::unique_ptr<Kernel> make_chains(const KernelCase& c) { return make_floating<ChainsKernel>(c, dtype_of(c)); }

int64_t chains_workspace(const KernelCase& c) {
  return dtype_of(c) == DType::kFloat64 ? ChainsLayout<double>(c).bytes : ChainsLayout<float>(c).bytes;
}

}  // namespace synthesizer::cuda
