// Chains: the program of steps goes to an interpreter in the order that the chain's sums ask for; sums in groups are
// combined behind it, as those of a Reduce.
#include <algorithm>
#include <cstring>

#include "core/kernels/cuda/chain_kernels.h"
#include "core/kernels/cuda/combine.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/ops/chain.h"
#include "core/tensor/storage.h"

namespace synthesizer::cuda {
namespace {

__global__ void keep_program_kernel(const __grid_constant__ ChainArgument part, uint4* to, int words) {
  for (int i = static_cast<int>(threadIdx.x); i < words; i += static_cast<int>(blockDim.x)) to[i] = part.words[i];
}

// What lies in the workspace: the program, if it is too large for an argument; then the parts of each sum.
struct ChainLayout {
  ChainLayout(const KernelCase& c, const ChainProgram& program) : order(c.as<Chain>().order()) {
    if (program.bytes() > ChainArgument::kBytes) bytes = align_up(program.bytes());
    const auto take = [&](int64_t doubles) {
      const int64_t at = doubles == 0 ? -1 : bytes;
      bytes += align_up(doubles * 8);
      return at;
    };
    for (const ChainSum& sum : program.sums()) {
      const ReducePlan& plan = sum.plan;
      const bool by_tile = order == ChainOrder::kRowsAndColumns && !plan.columns && plan.tiles > 1;
      tiles_at.push_back(take(by_tile ? plan.tiles * plan.outputs : 0));
      partial_at.push_back(take(plan.groups > 1 ? plan.groups * plan.outputs : 0));
    }
  }

  ChainOrder order;
  int64_t bytes = 0;
  std::vector<int64_t> tiles_at, partial_at;  // by sum; -1: it has none
};

int64_t chain_workspace(const KernelCase& c) { return ChainLayout(c, ChainProgram(c)).bytes; }

template <typename T>
class ChainKernel : public Kernel {
 public:
  explicit ChainKernel(const KernelCase& c) : stream_(c.context.stream), program_(c), layout_(c, program_) {
    const std::vector<ChainSum>& sums = program_.sums();
    if (layout_.order == ChainOrder::kElements) {
      set<ChainElements>();
    } else if (layout_.order == ChainOrder::kReduction) {
      plan_ = sums[0].plan;
      plan_.columns ? set<ChainColumns<false>>() : set<ChainRows>();
    } else {
      plan_ = std::find_if(sums.begin(), sums.end(), [](const ChainSum& sum) { return sum.plan.columns; })->plan;
      set<ChainColumns<true>>();
    }
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const auto at = [&](int64_t bytes) {
      return bytes < 0 ? nullptr : reinterpret_cast<double*>(static_cast<std::byte*>(workspace) + bytes);
    };
    const size_t count = program_.sums().size();
    std::vector<double*> partials;
    for (size_t i = 0; i < count; ++i)
      partials.push_back(at(layout_.tiles_at[i] >= 0 ? layout_.tiles_at[i] : layout_.partial_at[i]));
    program_.set_memory(inputs, outputs, partials);
    launch_chain(workspace);
    for (size_t i = 0; i < count; ++i) {
      const ChainSum& sum = program_.sums()[i];
      double* const partial = at(layout_.partial_at[i]);
      T* const y = output<T>(outputs, sum.output);
      if (const double* tiles = at(layout_.tiles_at[i]))
        launch(stream_, {"join_tiles_kernel", blocks_for(sum.plan.groups * sum.plan.outputs)}, join_tiles_kernel<T>,
               tiles, partial, y, sum.plan);
      if (partial != nullptr) combine<AddUp>(stream_, partial, y, sum.plan.groups, sum.plan.outputs);
    }
  }

 private:
  // As many threads a block as find room for their slots: the largest device's multiprocessors have 227 KiB, others
  // less.
  template <typename Order>
  void set() {
    kernel_ = chain_kernel<T, Order>;
    const int64_t doubles = Order::kDoubles * static_cast<int64_t>(program_.sums().size());
    const int64_t program = ChainMemory<T>::program_bytes(program_.bytes());
    const int64_t thread = ChainMemory<T>::thread_bytes(program_.slots(), doubles);
    threads_ = kThreads;
    while (threads_ > kWarp && program + threads_ * thread > kRoom) threads_ /= 2;
    shared_bytes_ = program + threads_ * thread;
    const int64_t warps = program_.sums().empty() ? (program_.count() + kTile - 1) / kTile : plan_.items;
    blocks_ = blocks_for(warps * kWarp, threads_);
  }

  void launch_chain(void* workspace) const {
    constexpr int64_t kWord = sizeof(uint4);
    const int64_t bytes = program_.bytes();
    uint4* const kept = bytes > ChainArgument::kBytes ? static_cast<uint4*>(workspace) : nullptr;
    ChainArgument argument;
    for (int64_t from = 0; kept != nullptr && from < bytes; from += ChainArgument::kBytes) {
      const int64_t n = std::min(ChainArgument::kBytes, bytes - from);
      std::memcpy(argument.words, program_.data() + from, static_cast<size_t>(n));
      launch(stream_, {"keep_program_kernel", 1}, keep_program_kernel, argument, kept + from / kWord,
             static_cast<int>(n / kWord));
    }
    if (kept == nullptr) std::memcpy(argument.words, program_.data(), static_cast<size_t>(bytes));
    launch(stream_, {"chain_kernel", blocks_, threads_, shared_bytes_}, kernel_, argument, kept,
           static_cast<int>(bytes / kWord), plan_);
  }

  static constexpr int64_t kRoom = 48 << 10;
  cudaStream_t stream_;
  ChainProgram program_;
  ChainLayout layout_;
  ReducePlan plan_;
  int threads_ = 0;
  int64_t shared_bytes_ = 0, blocks_ = 0;
  void (*kernel_)(const ChainArgument, const uint4*, int, ReducePlan) = nullptr;
};

static_assert(sizeof(ChainArgument) + sizeof(ReducePlan) + 16 <= 4096, "arguments of a kernel");

std::unique_ptr<Kernel> make_chain(const KernelCase& c) {
  return make_floating<ChainKernel>(c, c.as<Chain>().dtype(c.inputs));
}

}  // namespace

std::span<const KernelEntry> chain_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Chain), make_chain, chain_workspace}};
  return kEntries;
}

}  // namespace synthesizer::cuda
